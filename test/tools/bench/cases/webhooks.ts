/**
 * Webhooks, signed and checked as in production: how many, how fast, and next to receivers that hang. BENCH_WEBHOOK_TASKS is
 * the number of tasks of a run, with three webhooks each.
 */
import { generateKeyPairSync } from 'node:crypto';
import { createWebhookJob, type WebhookJob } from '../jobs.ts';
import { withRig, type Rig } from '../rig.ts';
import { alternate, median, ms, perSecond, type BenchCase, type Figure } from '../rounds.ts';
import { getAddress } from '../webhook-load.ts';

const tasks = Number(process.env['BENCH_WEBHOOK_TASKS'] ?? 1_500);
const rounds = 3;
const receivers = 50;
const hanging = 10;
/** Tasks a second for each of the good receivers. */
const ratePerReceiver = 1.5;

const many = { count: tasks, connections: 32 };
const atLeast = (value: number) => ({ target: { at: 'least' as const, value } });

export const webhooksCase: BenchCase = () => withRig(measureAll);

async function start(rig: Rig) {
  const { privateKey } = generateKeyPairSync('ed25519');
  const key = { ...privateKey.export({ format: 'jwk' }), kid: 'bench' };
  const env = {
    WEBHOOK_SIGNING_KEYS: JSON.stringify({ keys: [key] }),
    WEBHOOK_ALLOW_HOSTS: Array.from({ length: receivers }, (_, at) => getAddress(at)).join(),
  };
  const [api] = await Promise.all([
    rig.service('api', env),
    rig.service('worker'),
    rig.service('dispatcher', env),
  ]);
  return (more: Partial<WebhookJob>) => rig.load(createWebhookJob(api.url, more));
}

/** From the send of each task to the arrival of its last webhook: every service and the load share the cores. */
async function measureAll(rig: Rig): Promise<Figure[]> {
  const run = await start(rig);
  await run({ count: 50 });
  const idle = await run({ count: 150 });
  // Throughput rises over the first runs, until V8 has compiled what they use.
  for (let round = 0; round < rounds; round++) await run(many);
  const [floor, fast] = await compareWithFloor(rig, async () => (await run(many)).perSecond);
  const slow: number[] = [];
  for (let round = 0; round < rounds; round++) slow.push((await run({ ...many, answerMs: 100 })).perSecond);
  return [
    ms('event to POST, idle, p50', idle.latencies.p50, 8),
    ms('event to POST, idle, p99', idle.latencies.p99, 25),
    { ...perSecond('webhooks to one receiver, 1,500 tasks with three each', fast), ...atLeast(2_500) },
    perSecond('the same number of POSTs by one process without a database', floor),
    { ...perSecond('webhooks to a receiver that takes 100 ms', median(slow)), ...atLeast(1_500) },
    ...(await compareWithHanging(run)),
  ];
}

async function compareWithFloor(
  rig: Rig,
  measure: () => Promise<number>,
): Promise<[floor: number, ours: number]> {
  const { ids } = await rig.load({ kind: 'receiver' });
  const peer = await rig.peer('posts', {});
  const post = { url: `http://127.0.0.1:${ids[0]}`, count: 3 * tasks, connections: 32 };
  const measured = await alternate(
    { floor: async () => (await peer.ask<{ perSecond: number }>(post)).perSecond, ours: measure },
    rounds,
  );
  return [measured.floor, measured.ours];
}

/**
 * The good receivers get the same rate with and without the others. With the others there are more tasks: a run in which all
 * receivers answer shows what these cost alone.
 */
async function compareWithHanging(
  run: (more: Partial<WebhookJob>) => Promise<{ latencies: { p50: number; p99: number } }>,
): Promise<Figure[]> {
  const good = receivers - hanging;
  const measure = async (all: number, hang = 0) => {
    const rate = ratePerReceiver * all;
    const count = Math.ceil((tasks / 3) * (all / good));
    return (await run({ count, rate, connections: 32, receivers: all, hanging: hang })).latencies;
  };
  const alone: { p50: number; p99: number }[] = [];
  const answering: { p50: number; p99: number }[] = [];
  const together: { p50: number; p99: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    alone.push(await measure(good));
    answering.push(await measure(receivers));
    together.push(await measure(receivers, hanging));
  }
  return (['p50', 'p99'] as const).flatMap((share) => {
    const of = (values: typeof alone) => median(values.map((value) => value[share]));
    return [
      ms(`40 good receivers alone, ${share}`, of(alone)),
      ms(`50 receivers that all answer, ${share}`, of(answering)),
      ms(`the same next to 10 that hang, ${share}`, of(together), Math.ceil(13 * of(alone)) / 10),
    ];
  });
}
