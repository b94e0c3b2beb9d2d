/** Recordings of a terminal, in the form of asciinema: https://docs.asciinema.org/manual/asciicast/v2/ */

/** The size of the terminal, in characters. */
export const columns = 100;

/** Output of a program in a terminal. */
export interface OutputEvent {
  /** Seconds from the start. */
  at: number;
  /** Text with escapes, as the terminal gets it. */
  text: string;
}

export function toCast(events: readonly OutputEvent[]): string {
  const rows = events.reduce((sum, { text }) => sum + text.split('\n').length - 1, 1);
  const header = { version: 2, width: columns, height: rows, title: 'longhaul send, longhaul watch' };
  return [header, ...events.map(({ at, text }) => [at, 'o', text])]
    .map((line) => `${JSON.stringify(line)}\n`)
    .join('');
}
