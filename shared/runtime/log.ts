/**
 * Logs in the form that Cloud Logging reads: one JSON object a line on standard output, with `severity`, `time` and
 * `message`, and within a span the ids of its trace. Secrets and prompts do not belong here (invariant 12): log ids,
 * states and counts.
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

/** @param project whose traces those of this process are */
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

/** The names are Cloud Logging's: it shows the lines of a span with the span. */
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

/** The message of anything that was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
