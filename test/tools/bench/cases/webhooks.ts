/**
 * Webhooks, signed and checked as in production: how many, how fast, and next to receivers that hang. BENCH_WEBHOOK_TASKS is
 * the number of tasks of a run, with three webhooks each.
 */
import { generateKeyPairSync } from 'node:crypto';
import { waitFor } from '../../../support/wait-for.ts';
import { createWebhookJob, type WebhookJob } from '../jobs.ts';
import { withRig, type Rig } from '../rig.ts';
import { alternate, median, ms, perSecond, polling, type BenchCase, type Figure } from '../rounds.ts';
import { getAddress } from '../webhook-load.ts';

const tasks = Number(process.env['BENCH_WEBHOOK_TASKS'] ?? 1_500);
const rounds = 3;
const receivers = 50;
const hanging = 10;
/** Tasks a second for each of the good receivers. */
const ratePerReceiver = 1.5;

const many = { count: tasks, connections: 32 };
const atLeast = (value: number) => ({ target: { at: 'least' as const, value } });

export const webhooksCase: BenchCase = async () => [
  ...(await withRig(measureAll)),
  ...(await withRig(measureBacklog)),
];

async function start(rig: Rig, more: Record<string, string> = {}) {
  const { privateKey } = generateKeyPairSync('ed25519');
  const key = { ...privateKey.export({ format: 'jwk' }), kid: 'bench' };
  const env = {
    WEBHOOK_SIGNING_KEYS: JSON.stringify({ keys: [key] }),
    WEBHOOK_ALLOW_HOSTS: Array.from({ length: receivers }, (_, at) => getAddress(at)).join(),
    ...more,
  };
  const [api, , dispatcher] = await Promise.all([
    rig.service('api', env),
    rig.service('worker', more),
    rig.service('dispatcher', env),
  ]);
  return { dispatcher, run: (more: Partial<WebhookJob>) => rig.load(createWebhookJob(api.url, more)) };
}

/** From the send of each task to the arrival of its last webhook: every service and the load share the cores. */
async function measureAll(rig: Rig): Promise<Figure[]> {
  const { run } = await start(rig);
  await run({ count: 50 });
  const idle = await run({ count: 150 });
  await run(many);
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

/** Cloud Tasks that cannot be reached leave the wake-ups in the outbox. */
const unreachable = { CLOUD_TASKS_EMULATOR_HOST: '127.0.0.1:1' };

/** The dispatcher stands still until all tasks have ended, so that it then has the cores for itself. */
async function measureBacklog(rig: Rig): Promise<Figure[]> {
  const { dispatcher, run } = await start(rig, unreachable);
  await run(many);
  const measure = async (answerMs: number): Promise<number> => {
    dispatcher.child.kill('SIGSTOP');
    await run({ ...many, answerMs, backlog: true });
    await untilPending(rig, 3 * tasks);
    const delivered = rig.load({ kind: 'backlog', count: 3 * tasks });
    dispatcher.child.kill('SIGCONT');
    return (await delivered).perSecond;
  };
  const measured = await alternate({ fast: () => measure(0), slow: () => measure(100) }, rounds);
  return [
    perSecond('the same webhooks to one receiver, as a backlog', measured.fast),
    perSecond('the same to a receiver that takes 100 ms, as a backlog', measured.slow),
  ];
}

async function untilPending(rig: Rig, deliveries: number): Promise<void> {
  const count = async () => {
    const text = "select count(*)::int as count from deliveries where state = 'pending'";
    return (await rig.stack.pool.query<{ count: number }>(text)).rows[0]?.count ?? 0;
  };
  await waitFor(`${deliveries} pending deliveries`, async () => (await count()) >= deliveries, polling);
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

/** The good receivers get the same rate with and without the others. */
async function compareWithHanging(
  run: (more: Partial<WebhookJob>) => Promise<{ latencies: { p50: number; p99: number } }>,
): Promise<Figure[]> {
  const good = receivers - hanging;
  const measure = async (all: number) => {
    const rate = ratePerReceiver * all;
    const count = Math.ceil((tasks / 3) * (all / good));
    return (await run({ count, rate, connections: 32, receivers: all, hanging: all - good })).latencies;
  };
  const alone: { p50: number; p99: number }[] = [];
  const together: { p50: number; p99: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    alone.push(await measure(good));
    together.push(await measure(receivers));
  }
  return (['p50', 'p99'] as const).flatMap((share) => {
    const of = (values: typeof alone) => median(values.map((value) => value[share]));
    return [
      ms(`40 good receivers alone, ${share}`, of(alone)),
      ms(`the same next to 10 that hang, ${share}`, of(together), Math.ceil(13 * of(alone)) / 10),
    ];
  });
}
