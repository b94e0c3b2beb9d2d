/**
 * Records the span and the duration of one webhook attempt. The span starts a new trace and links to the span that caused
 * the call, if there was a call, and to the span that wrote the event.
 */
import type { ClaimedDelivery } from '#shared/db/webhooks/attempts/claim-rows.ts';
import type { Attempt } from '#shared/db/webhooks/attempts/settle.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { inSpan, createLinks, SpanKind } from '#shared/runtime/spans.ts';
import type { Receiver } from './schedule/receiver.ts';

export async function inWebhookSpan<Result extends Pick<Attempt, 'outcome' | 'status' | 'durationMs'>>(
  delivery: ClaimedDelivery,
  { receiver, traceparent }: { receiver: Receiver | undefined; traceparent: string | undefined },
  make: () => Promise<Result>,
): Promise<Result> {
  const { taskId, configId, seq, attempt } = delivery;
  const attributes = {
    'http.request.method': 'POST',
    // Without path and query, which may contain secrets.
    ...(receiver && { 'server.address': receiver.url.hostname }),
    'longhaul.task.id': taskId,
    'longhaul.webhook.config': configId,
    'longhaul.event': seq,
    'longhaul.attempt': attempt,
  };
  const options = {
    kind: SpanKind.CLIENT,
    root: true,
    attributes,
    links: createLinks(traceparent, delivery.traceparent),
  };
  return inSpan('POST webhook', options, async (span) => {
    const result = await make();
    const outcome = { 'longhaul.webhook.outcome': result.outcome.kind };
    span.setAttributes({
      ...outcome,
      ...(result.status !== null && { 'http.response.status_code': result.status }),
    });
    instruments.webhookDuration.record(result.durationMs / 1000, outcome);
    return result;
  });
}
