/**
 * The span of one attempt at a webhook, and its time. It begins a trace, linked to the span that asked for it and, once the
 * event is read, to the one in which that was written.
 */
import type { ClaimedDelivery } from '#shared/db/webhooks/claimed-delivery.ts';
import type { Attempt } from '#shared/db/webhooks/record.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { inSpan, createLinks, SpanKind } from '#shared/runtime/spans.ts';

export async function inWebhookSpan<Made extends Pick<Attempt, 'outcome' | 'status' | 'durationMs'>>(
  { taskId, configId, seq, attempt, config }: ClaimedDelivery,
  traceparent: string | undefined,
  make: () => Promise<Made>,
): Promise<Made> {
  const attributes = {
    'http.request.method': 'POST',
    // The path and the query may hold secrets.
    ...(URL.canParse(config.url) && { 'server.address': new URL(config.url).hostname }),
    'longhaul.task.id': taskId,
    'longhaul.webhook.config': configId,
    'longhaul.event': seq,
    'longhaul.attempt': attempt,
  };
  const options = { kind: SpanKind.CLIENT, root: true, attributes, links: createLinks(traceparent) };
  return inSpan('POST webhook', options, async (span) => {
    const made = await make();
    const { outcome, status, durationMs } = made;
    const result = { 'longhaul.webhook.outcome': outcome.kind };
    span.setAttributes({ ...result, ...(status !== null && { 'http.response.status_code': status }) });
    instruments.webhookDuration.record(durationMs / 1000, result);
    return made;
  });
}
