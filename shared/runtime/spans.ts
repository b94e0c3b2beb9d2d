/**
 * Spans, at the few places that matter; docs/observability.md draws them. Without an exporter they cost next to nothing.
 *
 * One task is several traces. What one process asks of another by a queue is not its child: it may run hours later, again,
 * or never. It begins a trace of its own, with a link to the span that asked, whose W3C `traceparent` travels along. So
 * every trace is as long as one piece of work, and the whole way can be walked by links, or by `longhaul.task.id`.
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

/** Runs something in a span: a child of the one that is active, unless `options.root` or `parent` say otherwise. */
export function inSpan<T>(
  name: string,
  options: SpanOptions,
  run: (span: Span) => Promise<T>,
  parent: Context = context.active(),
): Promise<T> {
  const span = tracer.startSpan(name, options, parent);
  // Without an exporter there is nothing to be a parent of, and nothing to end.
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

/** The message stays out: it may quote what was sent (invariant 12). */
function markFailed(span: Span, error: unknown): void {
  span.setAttribute('error.type', error instanceof Error ? error.name : typeof error);
  span.setStatus({ code: SpanStatusCode.ERROR });
}

/** What is handed to a queue, for its span. */
export interface QueuedMessage {
  attributes: Attributes;
  /** Where it comes from. Where no span is active there, it is handed over for somebody who has gone: it gets none. */
  parent: Context;
  /** The traceparent that then travels along. */
  left: string | null;
}

/**
 * Hands things to a queue in one call, each in a span of its own.
 *
 * @param run is given the traceparents that are to travel, in the order of `all`
 */
export async function inProducerSpans(
  queue: string,
  all: readonly QueuedMessage[],
  run: (traceparents: readonly (string | null)[]) => Promise<void>,
): Promise<void> {
  const spans = all.map(({ attributes, parent }) => startProducerSpan(queue, attributes, parent));
  try {
    await run(
      all.map(({ left }, index) => (spans[index] === undefined ? left : toTraceparent(spans[index]))),
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
  const sending = {
    'messaging.operation.type': 'send',
    'messaging.operation.name': 'send',
    'messaging.destination.name': queue,
  };
  const options = { kind: SpanKind.PRODUCER, attributes: { ...sending, ...attributes } };
  return tracer.startSpan(`send ${queue}`, options, parent);
}

/** Of the active span; null where there is none. */
export function activeTraceparent(): string | null {
  const span = trace.getActiveSpan();
  return span === undefined ? null : toTraceparent(span);
}

export function toTraceparent(span: Span): string | null {
  const { traceId, spanId, traceFlags } = span.spanContext();
  if (!isSpanContextValid(span.spanContext())) return null;
  return `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED) === 0 ? '00' : '01'}`;
}

/** Links to the spans that are named, each once; what is no traceparent is left out. */
export function createLinks(...traceparents: (string | null | undefined)[]): Link[] {
  const contexts = [...new Set(traceparents)].map(parseTraceparent);
  return contexts.flatMap((spanContext) => (spanContext === undefined ? [] : [{ context: spanContext }]));
}

/** Links the active span to another one, where both are there. */
export function linkActive(traceparent: string | null): void {
  const span = trace.getActiveSpan();
  if (span !== undefined && traceparent !== null) span.addLinks(createLinks(traceparent));
}

/** The context of a caller who sent a traceparent; without a good one, that of nobody. */
export function toContext(traceparent: string | undefined): Context {
  const spanContext = parseTraceparent(traceparent);
  return spanContext === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, spanContext);
}

/** W3C Trace Context, section 3.2: later versions may have more fields, which are left out. */
function parseTraceparent(text: string | null | undefined): SpanContext | undefined {
  if (text === null || text === undefined) return undefined;
  const [, version, traceId, spanId, flags] =
    /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:-.*)?$/.exec(text.trim()) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined || version === 'ff')
    return undefined;
  const spanContext = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
  return isSpanContextValid(spanContext) ? spanContext : undefined;
}
