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
export async function inSpan<T>(
  name: string,
  options: SpanOptions,
  run: (span: Span) => Promise<T>,
  parent: Context = context.active(),
): Promise<T> {
  return tracer.startActiveSpan(name, options, parent, async (span) => {
    try {
      return await run(span);
    } catch (error) {
      // The message stays out: it may quote what was sent (invariant 12).
      span.setAttribute('error.type', error instanceof Error ? error.name : typeof error);
      span.setStatus({ code: SpanStatusCode.ERROR });
      throw error;
    } finally {
      span.end();
    }
  });
}

/**
 * Hands something to a queue, in a span of the active one. Where none is active it is handed over for somebody who has gone: it
 * gets no span, and `left` travels along.
 *
 * @param run is given the traceparent that is to travel
 */
export async function inProducerSpan(
  queue: string,
  attributes: Attributes,
  left: string | null,
  run: (traceparent: string | null) => Promise<unknown>,
): Promise<void> {
  if (activeTraceparent() === null) {
    await run(left);
    return;
  }
  const sending = {
    'messaging.operation.type': 'send',
    'messaging.operation.name': 'send',
    'messaging.destination.name': queue,
  };
  const options = { kind: SpanKind.PRODUCER, attributes: { ...sending, ...attributes } };
  await inSpan(`send ${queue}`, options, (span) => run(traceparentOf(span)));
}

/** Of the active span; null where there is none. */
export function activeTraceparent(): string | null {
  const span = trace.getActiveSpan();
  return span === undefined ? null : traceparentOf(span);
}

export function traceparentOf(span: Span): string | null {
  const { traceId, spanId, traceFlags } = span.spanContext();
  if (!isSpanContextValid(span.spanContext())) return null;
  return `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED) === 0 ? '00' : '01'}`;
}

/** Links to the spans that are named, each once; what is no traceparent is left out. */
export function linksTo(...traceparents: (string | null | undefined)[]): Link[] {
  const contexts = [...new Set(traceparents)].map(parseTraceparent);
  return contexts.flatMap((spanContext) => (spanContext === undefined ? [] : [{ context: spanContext }]));
}

/** Links the active span to another one, where both are there. */
export function linkActive(traceparent: string | null): void {
  const span = trace.getActiveSpan();
  if (span !== undefined && traceparent !== null) span.addLinks(linksTo(traceparent));
}

/** The context of a caller who sent a traceparent; without a good one, that of nobody. */
export function contextOf(traceparent: string | undefined): Context {
  const spanContext = parseTraceparent(traceparent);
  return spanContext === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, spanContext);
}

/** W3C Trace Context, section 3.2: later versions may have more fields, which are left out. */
function parseTraceparent(text: string | null | undefined): SpanContext | undefined {
  const [, version, traceId, spanId, flags] =
    /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:-.*)?$/.exec(text?.trim() ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined || version === 'ff')
    return undefined;
  const spanContext = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
  return isSpanContextValid(spanContext) ? spanContext : undefined;
}
