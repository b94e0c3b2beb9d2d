/**
 * `npm run zoo` sends 10,000 events to 50 receivers, 10 of which misbehave, and then the same without the bad
 * ones, each on its own stack. Prints the figures of both runs. Fails if a good receiver misses an event,
 * gets one out of order, or waits more than twice as long next to bad ones.
 */
import { createCleanup } from '../../support/cleanup.ts';
import { startStack } from '../../support/stack.ts';
import { runZoo, type ZooFigures } from './run.ts';

const tasksPerReceiver = Number(process.env['ZOO_TASKS_PER_RECEIVER'] ?? 67);
const tasksPerSecond = Number(process.env['ZOO_TASKS_PER_SECOND'] ?? 25);
const bad = {
  slow: 1,
  hanging: 2,
  closing: 1,
  endless: 1,
  redirecting: 1,
  gone: 1,
  busy: 1,
  flapping: 1,
  'not-tls': 1,
};

async function run(receivers: Record<string, number>, perSecond: number): Promise<ZooFigures> {
  const t = createCleanup();
  try {
    const stack = await startStack(t);
    await stack.start('dispatcher');
    await runZoo(t, stack, {
      receivers: { good: 1 },
      tasksPerReceiver: 20,
      tasksPerSecond: 20,
      boundMs: 20_000,
    });
    return await runZoo(t, stack, {
      receivers,
      tasksPerReceiver,
      tasksPerSecond: perSecond,
      boundMs: 60_000,
    });
  } finally {
    await t.run();
  }
}

// The good receivers get the same load in both runs.
const alone = await run({ good: 40 }, tasksPerSecond * 0.8);
const together = await run({ good: 40, ...bad }, tasksPerSecond);
for (const [name, figures] of Object.entries({ alone, together })) {
  console.log(name, JSON.stringify(figures, null, 1));
}
const complete = [alone, together].every(
  ({ events, arrived, outOfOrder }) => arrived === events && outOfOrder === 0,
);
const ratio = together.p99 / alone.p99;
console.log(
  `p99 of the good receivers: ${alone.p99} ms alone, ${together.p99} ms together (${ratio.toFixed(2)}×)`,
);
process.exit(complete && ratio <= 2 ? 0 : 1);
