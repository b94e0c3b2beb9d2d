/** `longhaul init`: a new repository with an agent, its test, an image, a README and the rules for coding agents. Overwrites nothing. */
import path from 'node:path';
import { Argument, Option, type Command } from 'commander';
import { checkUrl } from '../settings/settings.ts';
import { languages, type Language } from '../init/files.ts';
import { createProject } from '../init/project.ts';
import { askOptions } from '../init/questions.ts';

export function addInitCommand(program: Command): void {
  program
    .command('init')
    .description('Create an agent: package.json, agent, test, Dockerfile, .gitignore, README and AGENTS.md.')
    .addArgument(new Argument('[folder]', 'the folder; it may exist').default('.', 'this folder'))
    .addOption(
      new Option(
        '--agent <kind>',
        'a Gemini agent as data, an agent in code, or one that exists already (yaml)',
      ).choices(languages),
    )
    .option('--url <url>', 'the address of the agent behind a gateway (http://localhost:9999)')
    .option('--name <name>', 'the name of the agent on its card (My agent)')
    .addHelpText('after', '\nOn a terminal, asks for what no option says.')
    .action(
      async (folder: string, flags: { agent?: Language; name?: string; url?: string }, command: Command) => {
        const known = {
          ...(flags.agent !== undefined && { language: flags.agent }),
          ...(flags.name !== undefined && { name: flags.name }),
          ...(flags.url !== undefined && { language: 'gateway' as const, url: checkUrl(flags.url) }),
        };
        if (flags.url !== undefined && (flags.agent ?? 'gateway') !== 'gateway')
          command.error(`--url belongs to --agent gateway, not to --agent ${flags.agent}`);
        const isTerminal = process.stdin.isTTY && process.stdout.isTTY;
        const asked = isTerminal
          ? await askOptions(known, { input: process.stdin, output: process.stdout })
          : known;
        try {
          const options = { name: 'My agent', language: 'yaml' as const, ...asked };
          const files = createProject(path.resolve(folder), options);
          const steps = `npm install, ${options.language === 'gateway' ? '' : 'npm test, '}then npx longhaul dev`;
          console.log(`Created ${files.join(', ')}.\n\nNext: ${steps}`);
        } catch (error) {
          command.error((error as Error).message);
        }
      },
    );
}
