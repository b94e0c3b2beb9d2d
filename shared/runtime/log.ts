/**
 * Logs in the form that Cloud Logging reads: one JSON object a line on standard output, with `severity`, `time` and
 * `message`. Secrets and prompts do not belong here (invariant 12): log ids, states and counts.
 */
import { pino, stdSerializers, type Logger } from 'pino';

export type { Logger } from 'pino';

const severities: Record<string, string> = {
  trace: 'DEBUG',
  debug: 'DEBUG',
  info: 'INFO',
  warn: 'WARNING',
  error: 'ERROR',
  fatal: 'CRITICAL',
};

export function createLogger(service: string, level: string): Logger {
  return pino({
    level,
    base: { service },
    messageKey: 'message',
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ severity: severities[label] ?? 'DEFAULT' }) },
    serializers: { err: stdSerializers.errWithCause },
  });
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
