/** Records spans and durations of turns and steps. shared/runtime/spans.ts explains how traces are linked. */
import type { Lease } from '#shared/db/turns/leases.ts';
import type { TurnMessage } from '#shared/gcp/pubsub.ts';
import type { PubSubConfig } from '#shared/runtime/config/common.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { inSpan, createLinks, SpanKind } from '#shared/runtime/spans.ts';
import { databaseNow } from '#shared/runtime/clock.ts';

export type WakeupSource = Pick<PubSubConfig, 'topic' | 'subscription'>;

/**
 * Runs a turn in a span that starts a new trace, linked to the span of its wake-up.
 *
 * @param run returns how the turn ended
 */
export async function inTurnSpan(
  { lease, attempts }: { lease: Lease; attempts: number },
  sent: TurnMessage['sent'],
  source: WakeupSource,
  run: () => Promise<string>,
): Promise<void> {
  const startedAt = performance.now();
  instruments.turnWait.record(Math.max(0, databaseNow() - sent.at) / 1000);
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
    instruments.turnDuration.record((performance.now() - startedAt) / 1000, { 'longhaul.turn.end': end });
  });
}

/** Runs a step in a span that lasts until the step is recorded. */
export async function inStepSpan<T>(
  { name, occurrence }: { name: string; occurrence: number },
  run: () => Promise<T>,
): Promise<T> {
  const startedAt = performance.now();
  const attributes = { 'longhaul.step.name': name, 'longhaul.step.occurrence': occurrence };
  return inSpan(`step ${name}`, { attributes }, async () => {
    const result = await run();
    instruments.stepDuration.record((performance.now() - startedAt) / 1000, {
      'longhaul.step.kind': getStepKind(name),
    });
    return result;
  });
}

/** A metric attribute must have few values, but an agent module may use any number of step names. */
function getStepKind(name: string): 'model' | 'tool' | 'other' {
  if (name === 'model') return name;
  return name.startsWith('tool:') ? 'tool' : 'other';
}
