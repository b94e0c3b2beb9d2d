/** The bounds within which the measured owner must stay. */
import { getAttack, ordinaryRow } from './attacks.ts';
import { operations, type Latency, type Operation } from './samples.ts';
import type { ScenarioResult } from './scenario.ts';

/** Highest p99 next to hostile owners, as a multiple of the p99 alone. */
const maxRatio: Record<Operation, number> = { send: 2, task: 2, get: 2, webhook: 3 };
/** An increase up to this is not counted: it is noise between processes that share two cores. */
const floorMs = 50;
/** A higher p99 alone proves nothing: other work occupies the machine. */
const maxAloneMs = 1000;

export const boundsText = `Bounds: p99 at most twice the p99 alone (webhooks: three times), or at most ${floorMs} ms above it: on \
few cores, multiples of single milliseconds are noise. No request unanswered, no task or webhook lost, no process ended, memory within the \
limits of the deployment. A p99 alone above ${maxAloneMs} ms proves nothing, and fails.`;

export function getBoundMs(operation: Operation, alone: Latency): number {
  return Math.max(maxRatio[operation] * alone.p99, alone.p99 + floorMs);
}

/** @returns the exceeded bounds; none if the owner was protected */
export function findExceeded({ rows, good, services, counts }: ScenarioResult): string[] {
  const { alone, hostile } = good.phases;
  const late = operations.flatMap((operation) => {
    const [before, after] = [alone.latencies[operation], hostile.latencies[operation]];
    if (before.count === 0 || after.count === 0) return [`no ${operation} was measured`];
    return [
      ...(before.p99 > maxAloneMs ? [`${operation} is slow alone: the machine is too busy`] : []),
      ...(after.p99 > getBoundMs(operation, before) && !rows.includes(ordinaryRow)
        ? [`p99 of ${operation}`]
        : []),
    ];
  });
  const lost = Object.entries({
    'requests unanswered': hostile.unanswered,
    'tasks not completed': hostile.tasksLost,
    'webhooks missing': hostile.webhooksLost,
  }).flatMap(([what, count]) => (count > 0 ? [`${count} ${what}`] : []));
  const ended = Object.entries(services).flatMap(([kind, { crashes, peakMib, limitMib }]) => [
    ...(crashes.length > 0 ? [`${kind} ended ${crashes.length} times`] : []),
    ...(crashes.length === 0 && peakMib > limitMib ? [`${kind} over ${limitMib} MiB`] : []),
  ]);
  const conditions = rows.flatMap((row) => {
    const { holds } = getAttack(row);
    return holds === undefined || holds.check(counts[row] ?? {}) ? [] : [`not: ${holds.condition}`];
  });
  return [...late, ...lost, ...ended, ...conditions];
}
