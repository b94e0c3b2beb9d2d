/**
 * The logs of all processes on one terminal: for people one line an event, with time, service, level, message and the
 * other fields; for programs (no terminal) JSON lines as they come, with the name of the service.
 */
export interface LogEntry {
  severity: string;
  message: string;
  time?: string;
  [field: string]: unknown;
}

export type Print = (service: string, entry: LogEntry) => void;

export interface Output {
  isTTY?: boolean | undefined;
  write(text: string): unknown;
}

export function createPrint(output: Output): Print {
  const format = output.isTTY === true ? forPeople : forPrograms;
  return (service, entry) => void output.write(`${format(service, entry)}\n`);
}

/** What a line of a process says: a JSON log entry, or any text (a stack trace, say) as a message. */
export function parseLine(line: string, severity: 'INFO' | 'ERROR'): LogEntry {
  if (line.startsWith('{')) {
    try {
      const entry = JSON.parse(line) as Partial<LogEntry>;
      if (typeof entry.message === 'string')
        return { ...entry, severity: entry.severity ?? severity } as LogEntry;
    } catch {
      // Not an entry: text.
    }
  }
  return { severity, message: line };
}

function forPrograms(service: string, entry: LogEntry): string {
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

function forPeople(service: string, entry: LogEntry): string {
  const { severity, message, time, service: _, ...fields } = entry;
  const clock = (time === undefined ? new Date() : new Date(time)).toTimeString().slice(0, 8);
  const rest = Object.entries(fields).map(([name, value]) => ` \u001B[2m${name}=${brief(value)}\u001B[0m`);
  return `${clock} ${service.padEnd(13)} ${levels[severity] ?? severity} ${oneLine(message)}${rest.join('')}`;
}

function brief(value: unknown): string {
  // Of an error its message: the stack is for the machine-readable form.
  const shown = typeof value === 'object' && value !== null && 'message' in value ? value.message : value;
  if (typeof shown === 'string' && /^[^\s"=]+$/.test(shown)) return shown;
  return JSON.stringify(shown) ?? String(shown);
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, ' ↵ ');
}
