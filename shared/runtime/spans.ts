/**
 * Spans at the few places that matter; docs/operate/observability.md has a diagram. Without an exporter they cost
 * almost nothing.
 *
 * A task consists of several traces. Work that passes through a queue may run hours later, twice or never, so
 * it is not a child span. It starts a new trace with a link to the span that enqueued it. The message carries
 * the W3C `traceparent` of that span. A trace therefore covers one piece of work. The traces of a task are
 * found by their links or by `longhaul.task.id`.
 */
import {
  context,
  isSpanContextValid,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Attributes,
  type Context,
  type Link,
  type Span,
  type SpanContext,
  type SpanOptions,
} from '@opentelemetry/api';

export { SpanKind, type Span } from '@opentelemetry/api';

const tracer = trace.getTracer('longhaul');

/** Calls `run` in a span: a child of the active span, unless `options.root` or `parent` say otherwise. */
export function inSpan<T>(
  name: string,
  options: SpanOptions,
  run: (span: Span) => Promise<T>,
  parent: Context = context.active(),
): Promise<T> {
  const span = tracer.startSpan(name, options, parent);
  // Without an exporter the span is never recorded: there is nothing to nest and nothing to end.
  if (!isSpanContextValid(span.spanContext())) return run(span);
  return context.with(trace.setSpan(parent, span), async () => {
    try {
      return await run(span);
    } catch (error) {
      markFailed(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Omits the error message, which may quote user content (invariant 12). */
function markFailed(span: Span, error: unknown): void {
  span.setAttribute('error.type', error instanceof Error ? error.name : typeof error);
  span.setStatus({ code: SpanStatusCode.ERROR });
}

/** The data that the producer span of a message needs. */
export interface QueuedMessage {
  attributes: Attributes;
  /** Context of the publisher. Without an active span, as in the relay, the message gets no span. */
  parent: Context;
  /** The traceparent that the message carries if it gets no span. */
  storedTraceparent: string | null;
}

/**
 * Publishes messages to a queue in one call, each in its own producer span.
 *
 * @param run receives the traceparents to send, in the order of `messages`
 */
export async function inProducerSpans(
  queue: string,
  messages: readonly QueuedMessage[],
  run: (traceparents: readonly (string | null)[]) => Promise<void>,
): Promise<void> {
  const spans = messages.map(({ attributes, parent }) => startProducerSpan(queue, attributes, parent));
  try {
    await run(
      messages.map(({ storedTraceparent }, index) => {
        const span = spans[index];
        return span === undefined ? storedTraceparent : toTraceparent(span);
      }),
    );
  } catch (error) {
    for (const span of spans) if (span !== undefined) markFailed(span, error);
    throw error;
  } finally {
    for (const span of spans) span?.end();
  }
}

function startProducerSpan(queue: string, attributes: Attributes, parent: Context): Span | undefined {
  const active = trace.getSpan(parent);
  if (active === undefined || toTraceparent(active) === null) return undefined;
  const messaging = {
    'messaging.operation.type': 'send',
    'messaging.operation.name': 'send',
    'messaging.destination.name': queue,
  };
  const options = { kind: SpanKind.PRODUCER, attributes: { ...messaging, ...attributes } };
  return tracer.startSpan(`send ${queue}`, options, parent);
}

/** Returns the traceparent of the active span; null if there is none. */
export function activeTraceparent(): string | null {
  const span = trace.getActiveSpan();
  return span === undefined ? null : toTraceparent(span);
}

/**
 * Formats a span as a W3C traceparent. Returns null without an exporter, because the span is not valid then.
 */
export function toTraceparent(span: Span): string | null {
  const { traceId, spanId, traceFlags } = span.spanContext();
  if (!isSpanContextValid(span.spanContext())) return null;
  return `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED) === 0 ? '00' : '01'}`;
}

/** Creates links to the given spans. Duplicates and malformed traceparents are skipped. */
export function createLinks(...traceparents: (string | null | undefined)[]): Link[] {
  const contexts = [...new Set(traceparents)].map(parseTraceparent);
  return contexts.flatMap((spanContext) => (spanContext === undefined ? [] : [{ context: spanContext }]));
}

/** Links the active span to another span. Does nothing if either is missing. */
export function linkActive(traceparent: string | null): void {
  const span = trace.getActiveSpan();
  if (span !== undefined && traceparent !== null) span.addLinks(createLinks(traceparent));
}

/** Returns the context of a caller's traceparent, or the root context if it is missing or malformed. */
export function toContext(traceparent: string | undefined): Context {
  const spanContext = parseTraceparent(traceparent);
  return spanContext === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, spanContext);
}

/** W3C Trace Context, section 3.2. Later versions may have more fields, which are ignored. */
function parseTraceparent(text: string | null | undefined): SpanContext | undefined {
  if (text === null || text === undefined) return undefined;
  const [, version, traceId, spanId, flags] =
    /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:-.*)?$/.exec(text.trim()) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined || version === 'ff')
    return undefined;
  const spanContext = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
  return isSpanContextValid(spanContext) ? spanContext : undefined;
}
