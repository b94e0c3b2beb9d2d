/** The sections of docs/operate/runbook.md, and the commands of this project in each. */
import { readFileSync } from 'node:fs';

const page = readFileSync(new URL('../../../../docs/operate/runbook.md', import.meta.url), 'utf8');

const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((text) => [text.slice(0, text.indexOf('\n')), text] as const),
);

export const sectionNames: readonly string[] = [...sections.keys()];

export function readSection(name: string): string {
  const section = sections.get(name);
  if (section === undefined) throw new Error(`docs/operate/runbook.md has no section ${name}`);
  return section;
}

/** Returns the commands of a section, each once, with their placeholders. */
export function readCommands(name: string): string[] {
  const found = [...readSection(name).matchAll(/`((?:longhaul|deploy\/admin\.sh) [^`\n]+)`/g)];
  return [...new Set(found.map(([, command = '']) => command))];
}

/** Returns the SQL of a section. */
export function readSql(name: string): string {
  const [, sql] = /```sql\n([^]*?)```/.exec(readSection(name)) ?? [];
  if (sql === undefined) throw new Error(`the section ${name} has no SQL`);
  return sql;
}
