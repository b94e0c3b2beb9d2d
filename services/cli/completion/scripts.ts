/** Completion scripts for shells. They contain all words, so that a completion starts no process. */
// cspell:ignore compdef compadd compgen CWORD COMPREPLY
import type { CommandWords } from './words.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

export function createCompletionScript(shell: Shell, commands: readonly CommandWords[]): string {
  return { bash: createBash, zsh: createZsh, fish: createFish }[shell](commands);
}

/** Quotes text for all three shells: it is between single quotes, and has none. */
const quote = (text: string): string => `'${text.replaceAll("'", '’').replaceAll('\n', ' ')}'`;

function listWords({ subcommands, options }: CommandWords): string {
  return [...subcommands.map(({ name }) => name), ...options.map(({ flag }) => flag)].join(' ');
}

/** The lines of `case` that follow a command and its subcommands from the words before the cursor. */
const listPaths = (commands: readonly CommandWords[]): string[] =>
  commands.flatMap(({ path, subcommands }) => subcommands.map(({ name }) => quote(`${path}/${name}`)));

function createBash(commands: readonly CommandWords[]): string {
  return `# Completion of longhaul for bash: source <(longhaul completion bash)
_longhaul() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} path='' words='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path/\${COMP_WORDS[i]}" in
      ${listPaths(commands).join(' | ')}) path="\${path:+$path }\${COMP_WORDS[i]}" ;;
    esac
  done
  case "$path $previous" in
${listValues(commands)
  .map(({ place, values }) => `    ${quote(place)}) words=${quote(values)} ;;`)
  .join('\n')}
  esac
  [ -n "$words" ] || case "$path" in
${commands.map((command) => `    ${quote(command.path)}) words=${quote(listWords(command))} ;;`).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _longhaul longhaul
`;
}

function createZsh(commands: readonly CommandWords[]): string {
  return `#compdef longhaul
# Completion of longhaul for zsh: source <(longhaul completion zsh)
_longhaul() {
  local command_path='' word
  local -a candidates
  for word in \${words[2,CURRENT-1]}; do
    case "$command_path/$word" in
      ${listPaths(commands).join(' | ')}) command_path="\${command_path:+$command_path }$word" ;;
    esac
  done
  case "$command_path \${words[CURRENT-1]}" in
${listValues(commands)
  .map(({ place, values }) => `    ${quote(place)}) candidates=(${values}) ;;`)
  .join('\n')}
  esac
  (( \${#candidates} )) || case "$command_path" in
${commands.map((command) => `    ${quote(command.path)}) candidates=(${listWords(command)}) ;;`).join('\n')}
  esac
  compadd -- $candidates || _files
}
compdef _longhaul longhaul
`;
}

/** The values that follow an option of a command. */
function listValues(commands: readonly CommandWords[]): { place: string; values: string }[] {
  return commands.flatMap(({ path, options }) =>
    options
      .filter(({ values }) => values.length > 0)
      .map(({ flag, values }) => ({ place: `${path} ${flag}`, values: values.join(' ') })),
  );
}

function createFish(commands: readonly CommandWords[]): string {
  const lines = commands.flatMap(({ path, subcommands, options }) => {
    const names = path === '' ? [] : path.split(' ');
    const seen = names.map((name) => `__fish_seen_subcommand_from ${name}`);
    const hasNext = subcommands.map(({ name }) => name).join(' ');
    const first = path === '' ? ['__fish_use_subcommand'] : seen;
    const inSubcommands = path === '' || hasNext === '' ? [] : [`not __fish_seen_subcommand_from ${hasNext}`];
    const when = quote([...first, ...inSubcommands].join('; and '));
    return [
      ...subcommands.map(
        ({ name, description }) => `complete -c longhaul -f -n ${when} -a ${name} -d ${quote(description)}`,
      ),
      ...options.map(({ flag, description, takesValue, values }) =>
        [
          `complete -c longhaul -n ${when} -l ${flag.slice(2)} -d ${quote(description)}`,
          ...(takesValue ? ['-r'] : []),
          ...(values.length > 0 ? [`-f -a ${quote(values.join(' '))}`] : []),
        ].join(' '),
      ),
    ];
  });
  return `# Completion of longhaul for fish: longhaul completion fish | source\n${lines.join('\n')}\n`;
}
