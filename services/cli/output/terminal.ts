/**
 * Where commands print. Results go to stdout. Progress, hints and colours are for people: they appear only if the
 * stream is a terminal, and colours only without NO_COLOR (no-color.org).
 */
import { styleText } from 'node:util';
import { environment } from '#shared/runtime/config/environment.ts';

type Style = Parameters<typeof styleText>[0];

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** One line of JSON. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value));
}

/** Prints a message about the result, which people and logs need: always. */
export function printError(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Prints progress: to terminals only. */
export function printProgress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`${style('dim', line, process.stderr)}\n`);
}

export function isTerminal(): boolean {
  return process.stdout.isTTY;
}

/** Returns the text with a style if the stream shows it. */
export function style(format: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  if (!stream.isTTY || environment['NO_COLOR'] || environment['TERM'] === 'dumb') return text;
  return styleText(format, text, { validateStream: false });
}

/**
 * Removes control characters, except for line breaks and tabs: the text of an agent must not move the cursor, retitle
 * the window or write to the clipboard of a terminal. Other outputs get the text as it is.
 */
export function toTerminalText(text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return stream.isTTY ? text.replaceAll(/[\p{Cc}--[\n\t]]/gv, '') : text;
}

/** Prints rows under a head; without rows, a message that says so. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  if (rows.length === 0) {
    printError('the list is empty');
    return;
  }
  const [first = '', ...lines] = toTable([head, ...rows]);
  print(style('bold', first));
  for (const line of lines) print(toTerminalText(line));
}

/** Prints each item as a line of JSON, or as a row of a table. */
export function printRows<Item>(
  items: readonly Item[],
  format: { json: boolean | undefined; head: readonly string[]; toRow: (item: Item) => readonly string[] },
): void {
  if (format.json) for (const item of items) printJson(item);
  else printTable(format.head, items.map(format.toRow));
}

/** Returns rows as columns of equal width; the last column is not padded. */
export function toTable(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('  '),
  );
}
