/**
 * Logs in the format of Cloud Logging: one JSON object per line on standard output, with `severity`, `time`
 * and `message`, and within a span the ids of its trace. Log ids, states and counts; never secrets or prompts
 * (invariant 12).
 */
import { isSpanContextValid, trace, TraceFlags } from '@opentelemetry/api';
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

/** @param project Google Cloud project that the traces of this process belong to */
export function createLogger(service: string, level: string, project?: string): Logger {
  return pino({
    level,
    base: { service },
    mixin: () => traceFields(project),
    messageKey: 'message',
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ severity: severities[label] ?? 'DEFAULT' }) },
    serializers: { err: stdSerializers.errWithCause },
  });
}

/** Fields by which Cloud Logging groups log lines with their span. */
function traceFields(project: string | undefined): object {
  const span = trace.getActiveSpan()?.spanContext();
  if (span === undefined || !isSpanContextValid(span)) return {};
  return {
    'logging.googleapis.com/trace':
      project === undefined ? span.traceId : `projects/${project}/traces/${span.traceId}`,
    'logging.googleapis.com/spanId': span.spanId,
    'logging.googleapis.com/trace_sampled': (span.traceFlags & TraceFlags.SAMPLED) !== 0,
  };
}

const maxCauses = 5;
const maxMessageChars = 2000;

/**
 * Returns the message of any thrown value, followed by those of its causes: at most five, and at most 2,000
 * characters in all. A cause that the message quotes already is not repeated.
 */
export function errorMessage(error: unknown): string {
  let text = toText(error);
  let at = error;
  for (let depth = 0; depth < maxCauses && at instanceof Error && at.cause !== undefined; depth += 1) {
    at = at.cause;
    const cause = toText(at);
    if (cause !== '' && !text.includes(cause)) text += ` (cause: ${cause})`;
  }
  return text.length > maxMessageChars ? `${text.slice(0, maxMessageChars - 1)}…` : text;
}

function toText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
