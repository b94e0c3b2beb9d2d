/** A log that keeps its lines, for tests of what is logged. */
import { pino } from 'pino';
import type { Logger } from '#shared/runtime/log.ts';

export interface LogLine {
  level: string;
  message: string;
  [field: string]: unknown;
}

export interface LineLog {
  log: Logger;
  lines: LogLine[];
  /** Returns the lines of a level, such as `warn`. */
  at: (level: string) => LogLine[];
}

export function createLineLog(): LineLog {
  const lines: LogLine[] = [];
  const log = pino(
    {
      level: 'debug',
      base: null,
      timestamp: false,
      messageKey: 'message',
      formatters: { level: (level) => ({ level }) },
    },
    { write: (line) => void lines.push(JSON.parse(line) as LogLine) },
  );
  return { log, lines, at: (level) => lines.filter((line) => line.level === level) };
}
