/** `longhaul init`: a new repository with an agent, an image and a README, from flags. Overwrites nothing. */
import path from 'node:path';
import { Argument, Option, type Command } from 'commander';
import { languages, type Language } from '../init/files.ts';
import { createProject } from '../init/project.ts';

export function addInitCommand(program: Command): void {
  program
    .command('init')
    .description('Create an agent: package.json, agent, Dockerfile, .gitignore and README.')
    .addArgument(new Argument('[folder]', 'the folder; it may exist').default('.', 'this folder'))
    .addOption(
      new Option('--agent <kind>', 'a Gemini agent as data, or an agent in code')
        .choices(languages)
        .default('yaml'),
    )
    .action((folder: string, { agent }: { agent: Language }, command: Command) => {
      try {
        const files = createProject(path.resolve(folder), agent);
        console.log(`Created ${files.join(', ')}.\n\nNext: npm install, then npx longhaul dev`);
      } catch (error) {
        command.error((error as Error).message);
      }
    });
}
