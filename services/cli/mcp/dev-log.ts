/** Reads the logs that the local stack keeps in its data directory. */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { getDevLog, getOlderDevLog } from '#shared/runtime/config/dev-log.ts';

export interface LogLine {
  time: string;
  service: string;
  severity: string;
  message: string;
  [field: string]: unknown;
}

/** The end of a file that is read. */
const maxReadBytes = 8 * 1024 * 1024;

/** Severities from the least to the most important, as services write them. */
export const severities = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'] as const;

export interface LogFilter {
  /** Milliseconds since 1970. */
  since: number;
  /** The least important severity. */
  severity: (typeof severities)[number];
  service?: string | undefined;
  /** A part of the line, in any case. */
  contains?: string | undefined;
}

/** @returns the lines that match, in their order; undefined if no stack has kept any */
export function readDevLog(dataDir: string, filter: LogFilter): LogLine[] | undefined {
  const files = [getOlderDevLog(dataDir), getDevLog(dataDir)].filter((file) => existsSync(file));
  if (files.length === 0) return undefined;
  const least = severities.indexOf(filter.severity);
  const contains = filter.contains?.toLowerCase();
  return files.flatMap((file) =>
    readEnd(file)
      .split('\n')
      .filter((text) => contains === undefined || text.toLowerCase().includes(contains))
      .flatMap(parseLine)
      .filter(
        ({ time, severity, service }) =>
          Date.parse(time) >= filter.since &&
          severities.findIndex((each) => each === severity) >= least &&
          (filter.service === undefined || service === filter.service),
      ),
  );
}

function readEnd(file: string): string {
  const descriptor = openSync(file, 'r');
  try {
    const { size } = fstatSync(descriptor);
    const start = Math.max(0, size - maxReadBytes);
    const buffer = Buffer.alloc(size - start);
    readSync(descriptor, buffer, 0, buffer.length, start);
    return buffer.toString('utf8');
  } finally {
    closeSync(descriptor);
  }
}

/** The first line of a file that is read in part is incomplete. */
function parseLine(text: string): LogLine[] {
  try {
    const line = JSON.parse(text) as Partial<LogLine>;
    const { time, service, severity, message } = line;
    return [time, service, severity, message].every((field) => typeof field === 'string')
      ? [line as LogLine]
      : [];
  } catch {
    return [];
  }
}
