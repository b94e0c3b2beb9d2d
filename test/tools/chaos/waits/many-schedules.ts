/**
 * A run of many schedules: all are due once in each interval, while dispatchers are killed at random, and the database is
 * away for some intervals in the middle. Afterwards each due time must have been decided once (decisions.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createCleanup } from '../../../support/cleanup.ts';
import { startScriptedStack } from '../../../support/services/scripted-stack.ts';
import type { RunningService, Stack } from '../../../support/stack.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { SeededRandom } from '../random.ts';
import { startFaultProxy } from '../trouble/fault-proxy.ts';
import { checkDecisions, policies } from './decisions.ts';
import { callSchedules } from './schedules.ts';

export interface ManySchedules {
  schedules: number;
  everySeconds: number;
  /** Due times of each schedule. */
  times: number;
  outageSeconds: number;
  dispatchers: number;
  seed: number;
}

/** Requests at the same time that create or pause schedules. */
const atOnce = 20;
/** Half of the schedules start no task so late. The shortest that is accepted. */
const shortCatchUpSeconds = 10;
const longCatchUpSeconds = 3_600;
const endBoundMs = 300_000;

export async function runManySchedules(
  options: ManySchedules,
): Promise<{ problems: string[]; lines: string[] }> {
  const { everySeconds, times, outageSeconds, dispatchers } = options;
  const cleanup = createCleanup();
  try {
    const { stack } = await startScriptedStack(cleanup);
    const database = new URL(stack.databaseUrl);
    const proxy = await startFaultProxy(cleanup, Number(database.port));
    database.port = String(proxy.port);
    stack.env['DATABASE_URL'] = database.href;
    await Promise.all([stack.start('api'), stack.start('worker')]);
    const running = await Promise.all(
      Array.from({ length: dispatchers }, () => stack.start('dispatcher', { PORT: '0' })),
    );
    const names = Array.from({ length: options.schedules }, (_, index) => `schedule-${index}`);
    await inGroups(names, (name, index) => createSchedule(stack, name, index, everySeconds));

    const stop = new AbortController();
    const killing = killAtRandom(stack, running, options.seed, stop.signal);
    const totalSeconds = times * everySeconds;
    const quietSeconds = (totalSeconds - outageSeconds) / 2;
    await sleep(quietSeconds * 1000);
    const outage = { from: new Date(), until: new Date(Date.now() + outageSeconds * 1000) };
    proxy.set('away');
    await sleep(outageSeconds * 1000);
    proxy.set(undefined);
    await sleep(quietSeconds * 1000);
    stop.abort();
    const kills = await killing;
    await inGroups(names, (name) => callSchedules(stack.apiUrl, 'POST', `${name}/pause`, {}));
    await waitFor('the end of all tasks', () => hasNoOpenTask(stack), { everyMs: 500, boundMs: endBoundMs });

    const { problems, lines } = await checkDecisions(stack.pool, {
      schedules: options.schedules,
      everySeconds,
      shortCatchUpSeconds,
      outage,
      times: Math.floor(quietSeconds / everySeconds) * 2,
    });
    return { problems, lines: [`${kills} kills of ${dispatchers} dispatchers`, ...lines] };
  } finally {
    await cleanup.run();
  }
}

async function createSchedule(
  { apiUrl }: Stack,
  name: string,
  index: number,
  everySeconds: number,
): Promise<void> {
  await callSchedules(apiUrl, 'PUT', name, {
    everySeconds,
    overlap: policies[index % policies.length],
    catchUpSeconds:
      index % (2 * policies.length) < policies.length ? longCatchUpSeconds : shortCatchUpSeconds,
    request: { message: { role: 'ROLE_USER', parts: [{ text: 'say tick' }] } },
  });
}

async function inGroups(
  names: readonly string[],
  run: (name: string, index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let index = next++; index < names.length; index = next++) await run(names[index] ?? '', index);
    }),
  );
}

/** @returns the number of kills */
async function killAtRandom(
  stack: Stack,
  running: RunningService[],
  seed: number,
  signal: AbortSignal,
): Promise<number> {
  const random = new SeededRandom(seed, 'dispatchers');
  for (let kills = 0; ; kills++) {
    await sleep(random.between(1_000, 6_000), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return kills;
    const index = random.integer(0, running.length - 1);
    await running[index]?.kill();
    running[index] = await stack.start('dispatcher', { PORT: '0' });
  }
}

async function hasNoOpenTask({ pool }: Stack): Promise<boolean> {
  const { rows } = await pool.query('select from gates where state_class < 2 limit 1');
  return rows.length === 0;
}
