/**
 * The span of a turn, and its times. It begins a trace: the wakeup that asked for the turn, and the send of its message, are
 * linked (see shared/runtime/spans.ts).
 */
import type { Lease } from '#shared/db/turns/leases.ts';
import type { PublishInfo } from '#shared/gcp/pubsub.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { inSpan, createLinks, SpanKind } from '#shared/runtime/spans.ts';

export interface TurnSource {
  subscription: string;
  topic: string;
}

/** @param run returns how the turn ended */
export async function inTurnSpan(
  { lease, attempts }: { lease: Lease; attempts: number },
  sent: PublishInfo,
  source: TurnSource,
  run: () => Promise<string>,
): Promise<void> {
  const began = performance.now();
  instruments.turnWait.record(Math.max(0, Date.now() - sent.at) / 1000);
  const attributes = {
    'messaging.system': 'gcp_pubsub',
    'messaging.operation.type': 'process',
    'messaging.operation.name': 'process',
    'messaging.destination.name': source.topic,
    'messaging.destination.subscription.name': source.subscription,
    'longhaul.task.id': lease.taskId,
    'longhaul.turn': lease.turn,
    'longhaul.fence': lease.fence,
    'longhaul.attempt': attempts,
  };
  const options = { kind: SpanKind.CONSUMER, root: true, attributes, links: createLinks(sent.traceparent) };
  await inSpan(`process ${source.topic}`, options, async (span) => {
    const end = await run();
    span.setAttribute('longhaul.turn.end', end);
    instruments.turnDuration.record((performance.now() - began) / 1000, { 'longhaul.turn.end': end });
  });
}
