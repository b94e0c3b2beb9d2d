/** docs/use/cli.md has the commands and options of the program, and no others. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { Command } from 'commander';
import { createProgram } from '#services/cli/program.ts';

const page = readFileSync(new URL('../../../docs/use/cli.md', import.meta.url), 'utf8').replaceAll(
  '\\|',
  '|',
);
/** They are described once, for all commands. */
const shared = ['--url <url>', '--profile <name>', '--owner <owner>', '--json'];

/** Returns the section of a command, or the page if it has none of its own. */
function getSection(name: string): string {
  const [, section] = new RegExp(`^### ${name}\n(.*?)(?=^##|(?![^]))`, 'ms').exec(page) ?? [];
  return section ?? page;
}

function getOptions(command: Command): string[] {
  const own = command.options.map(({ flags }) => flags).filter((flags) => !shared.includes(flags));
  return [...own, ...command.commands.flatMap(getOptions)];
}

describe('docs/use/cli.md', () => {
  for (const command of createProgram().commands) {
    const name = command.name();
    test(`describes longhaul ${name} with all of its options`, () => {
      const section = getSection(name);
      const parts = command.commands.length === 0 ? [command] : command.commands;
      for (const part of parts) {
        const path = [name, ...(part === command ? [] : [part.name()])].join(' ');
        const usage = part.registeredArguments.map((each) => {
          const dots = each.variadic ? '...' : '';
          return each.required ? `<${each.name()}${dots}>` : `[${each.name()}${dots}]`;
        });
        // The services have their own arguments.
        const call = section === page ? `longhaul ${path}` : ['longhaul', path, ...usage].join(' ');
        assert.ok(section.includes(`\`${call}\``), `\`${call}\` is missing`);
      }
      const options = getOptions(command);
      for (const flags of options) assert.ok(section.includes(`\`${flags}\``), `${flags} is missing`);
      if (section === page) return;
      const named = [...section.matchAll(/`(--[^`;]+?)`/g)].map(([, flags]) => flags);
      const unknown = named.filter((flags) => !options.includes(flags!) && !shared.includes(flags!));
      assert.deepEqual(unknown, []);
    });

    test(`longhaul ${name} --help has examples`, { skip: getSection(name) === page }, () => {
      let help = '';
      for (const part of [command, ...command.commands]) {
        part.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
      }
      assert.match(help, /Examples:\n {2}\S/);
    });
  }

  test('lists the settings of all commands', () => {
    for (const flags of shared) assert.ok(page.includes(`\`${flags}\``), flags);
  });
});
