/**
 * Prints the logs of all processes. On a terminal, each entry is one line with time, service, level, message
 * and the other fields. Otherwise the output is JSON lines, with the name of the service added.
 */
import { stripVTControlCharacters } from 'node:util';

export interface LogEntry {
  severity: string;
  message: string;
  time?: string;
  [field: string]: unknown;
}

export type Print = (service: string, entry: LogEntry) => void;

export interface LogOutput {
  isTTY?: boolean | undefined;
  write(text: string): unknown;
}

/** @param options.color whether a terminal gets colors (https://no-color.org). Default: true */
export function createPrint(output: LogOutput, { color = true } = {}): Print {
  const format = output.isTTY === true ? (color ? formatForTerminal : formatWithoutColor) : formatAsJson;
  return (service, entry) => void output.write(`${format(service, entry)}\n`);
}

/**
 * Parses a line of output: a JSON log entry, or any other text (for example of a stack trace) as the message.
 */
export function parseLine(line: string, severity: 'INFO' | 'ERROR'): LogEntry {
  if (line.startsWith('{')) {
    try {
      const entry = JSON.parse(line) as Partial<LogEntry>;
      if (typeof entry.message === 'string')
        return { ...entry, severity: entry.severity ?? severity } as LogEntry;
    } catch {
      // Not JSON: the line is plain text.
    }
  }
  return { severity, message: line };
}

/** Returns one line of JSON. */
export function formatAsJson(service: string, entry: LogEntry): string {
  const { service: _, ...rest } = entry;
  return JSON.stringify({ service, time: new Date().toISOString(), ...rest });
}

const levels: Record<string, string> = {
  DEBUG: 'debug',
  INFO: 'info ',
  WARNING: '\u001B[33mwarn \u001B[0m',
  ERROR: '\u001B[31merror\u001B[0m',
  CRITICAL: '\u001B[31mfatal\u001B[0m',
};

function formatForTerminal(service: string, entry: LogEntry): string {
  const { severity, message, time, service: _, ...fields } = entry;
  const clock = (time === undefined ? new Date() : new Date(time)).toTimeString().slice(0, 8);
  const rest = Object.entries(fields).map(
    ([name, value]) => ` \u001B[2m${escapeControls(`${name}=${formatValue(value)}`)}\u001B[0m`,
  );
  return `${clock} ${service.padEnd(13)} ${levels[severity] ?? severity} ${escapeControls(joinLines(message))}${rest.join('')}`;
}

function formatWithoutColor(service: string, entry: LogEntry): string {
  return stripVTControlCharacters(formatForTerminal(service, entry));
}

function formatValue(value: unknown): string {
  // For an error, only the message. The JSON output has the stack.
  const printed = typeof value === 'object' && value !== null && 'message' in value ? value.message : value;
  if (typeof printed === 'string' && /^[^\s"=]+$/.test(printed)) return printed;
  return JSON.stringify(printed) ?? String(printed);
}

function joinLines(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, ' ↵ ');
}

/** Makes control characters visible: logs quote texts of callers, and a terminal would obey them. */
function escapeControls(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
