/** Turns that wait: what they cost while they wait, and how soon they continue. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { callJsonRpc } from '../../../support/json-rpc.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { getPercentile } from '../../percentile.ts';
import { createCallJob } from '../jobs.ts';
import { withRig, type Rig } from '../rig.ts';
import { ms, perSecond, polling, type BenchCase, type Figure } from '../rounds.ts';

const waiting = 100_000;
const endingTogether = 10_000;
const samples = 200;
const idleSeconds = 10;

const configuration = { returnImmediately: true };

export const waitsCase: BenchCase = () =>
  withRig(async (rig) => {
    const api = await rig.service('api');
    await rig.service('worker', { WORKER_CONCURRENCY: '300' });
    const callbacks = await measureCallbacks(rig, api.url);
    const sleeps = await measureSleeps(rig, api.url);
    const before = await measureTransactions(rig);
    const asleep = createJob(api.url, Date.now() + 86_400_000, waiting - endingTogether);
    await rig.load(asleep);
    await untilSuspended(rig, waiting - endingTogether);
    const during = await measureTransactions(rig);
    const dueAt = Date.now() + 60_000;
    await rig.load(createJob(api.url, dueAt, endingTogether));
    await untilSuspended(rig, waiting);
    await sleep(Math.max(0, dueAt - Date.now()));
    await untilSuspended(rig, waiting - endingTogether);
    return [
      ...callbacks,
      ...sleeps,
      perSecond('transactions while idle', before),
      perSecond(`transactions while ${waiting - endingTogether} tasks wait`, during),
      ms(`until ${endingTogether} waits that end together have continued`, Date.now() - dueAt),
    ];
  });

function createJob(url: string, until: number, count: number) {
  const message = { messageId: '%NEW%', role: 'ROLE_USER', parts: [{ text: `sleep ${until}` }] };
  return createCallJob(url, 'SendMessage', { message, configuration }, { count });
}

async function untilSuspended(rig: Rig, count: number): Promise<void> {
  await waitFor(
    `${count} waiting tasks`,
    async () => {
      const { rows } = await rig.stack.pool.query<{ open: string; busy: string }>(
        `select count(*) filter (where run_at > now() and lease_until is null) as open,
          count(*) filter (where run_at <= now()) as busy from gates where state_class = 0`,
      );
      return rows[0]?.open === String(count) && rows[0].busy === '0';
    },
    { ...polling, everyMs: 100, boundMs: 600_000 },
  );
}

async function measureTransactions(rig: Rig): Promise<number> {
  const read = async (): Promise<number> => {
    // Backends report their counts with a delay.
    await sleep(1_500);
    const { rows } = await rig.stack.pool.query<{ count: string }>(
      'select xact_commit + xact_rollback as count from pg_stat_database where datname = current_database()',
    );
    return Number(rows[0]?.count);
  };
  const first = await read();
  await sleep(idleSeconds * 1000);
  return ((await read()) - first) / (idleSeconds + 1.5);
}

/** From the POST to the agent's next line, one task at a time. */
async function measureCallbacks(rig: Rig, url: string): Promise<Figure[]> {
  const times: number[] = [];
  for (let sample = 0; sample < samples; sample++) {
    const id = await submit(url, 'call');
    const { rows } = await waitFor(
      'a callback',
      async () => {
        const found = await rig.stack.pool.query<{ token: string }>(
          `select s.token from steps s join gates g on g.task_id = s.task_id
           where s.task_id = $1 and s.token is not null and g.run_at > now() and g.lease_until is null`,
          [id],
        );
        return found.rows.length > 0 && found;
      },
      polling,
    );
    const postedAt = performance.timeOrigin + performance.now();
    const headers = { 'content-type': 'application/json' };
    await fetch(`${url}/callbacks/${rows[0]?.token}`, { method: 'POST', body: '1', headers });
    times.push((await readEnd(rig, id)) - postedAt);
  }
  return [
    ms("answer of a callback to the agent's next line, p50", getSample(times, 0.5), 15),
    ms("answer of a callback to the agent's next line, p99", getSample(times, 0.99), 60),
  ];
}

async function measureSleeps(rig: Rig, url: string): Promise<Figure[]> {
  const late = await Promise.all(
    Array.from({ length: samples }, async (_, index) => {
      const until = Date.now() + 1_500 + index * 60;
      return (await readEnd(rig, await submit(url, `sleep ${until}`))) - until;
    }),
  );
  return [
    ms('a sleep ends late by, p50', getSample(late, 0.5)),
    ms('a sleep ends late by, longest', Math.max(...late), 200),
  ];
}

async function submit(url: string, text: string): Promise<string> {
  const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] };
  const { result } = await callJsonRpc(url, 'SendMessage', { message, configuration }, { headers: {} });
  return (result.task as { id: string }).id;
}

const getSample = (values: readonly number[], share: number): number =>
  getPercentile(
    values.toSorted((a, b) => a - b),
    share,
  ) ?? Number.NaN;

/** Waits for the end of a task, and returns the time that its agent completed it with. */
async function readEnd(rig: Rig, id: string): Promise<number> {
  const { rows } = await waitFor(
    'the end',
    async () => {
      const found = await rig.stack.pool.query<{ message: { parts: { text: string }[] } }>(
        `select status_message as message from tasks where id = $1 and state = 'TASK_STATE_COMPLETED'`,
        [id],
      );
      return found.rows.length > 0 && found;
    },
    { ...polling, everyMs: 200 },
  );
  return Number(rows[0]?.message.parts[0]?.text);
}
