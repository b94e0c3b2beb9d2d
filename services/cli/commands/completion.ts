/** `longhaul completion`: prints a script with which a shell completes commands and options. */
// cspell:ignore fpath
import { Argument, type Command } from 'commander';
import { createCompletionScript, shells, type Shell } from '../completion/scripts.ts';
import { listCommandWords } from '../completion/words.ts';

export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .description('Print a completion script for a shell.')
    .addArgument(new Argument('<shell>').choices(shells))
    .addHelpText(
      'after',
      `
Examples:
  source <(longhaul completion bash)
  longhaul completion zsh > "\${fpath[1]}/_longhaul"
  longhaul completion fish > ~/.config/fish/completions/longhaul.fish`,
    )
    .action((shell: Shell) => {
      process.stdout.write(createCompletionScript(shell, listCommandWords(program)));
    });
}
