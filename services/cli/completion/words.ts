/** Lists the words that can follow each command of the program, for completion scripts. */
import type { Command } from 'commander';

export interface CommandWords {
  /** The names of the command and those above it, such as `webhooks list`; empty for the program. */
  path: string;
  subcommands: { name: string; description: string }[];
  options: { flag: string; description: string; takesValue: boolean; values: readonly string[] }[];
}

/** The program first, then each command before its subcommands. */
export function listCommandWords(program: Command): CommandWords[] {
  return list(program, []);
}

function list(command: Command, names: readonly string[]): CommandWords[] {
  const help = command.createHelp();
  const subcommands = help.visibleCommands(command).filter((each) => each.name() !== 'help');
  const words: CommandWords = {
    path: names.join(' '),
    subcommands: subcommands.map((each) => ({ name: each.name(), description: each.description() })),
    options: help
      .visibleOptions(command)
      .flatMap(({ long, description, required, optional, argChoices }) =>
        long ? [{ flag: long, description, takesValue: required || optional, values: argChoices ?? [] }] : [],
      ),
  };
  return [words, ...subcommands.flatMap((each) => list(each, [...names, each.name()]))];
}
