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

/** Returns the message of any thrown value. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
