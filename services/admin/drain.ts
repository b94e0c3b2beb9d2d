/**
 * `npm run admin -- drain`: has the workers of all releases but one take no more turns, and waits until they run none. A deploy
 * waits for this before it removes them, so that no step is cut short:
 *
 *   turns of another version of the agent are left? ─▶ wait: only their workers can continue them
 *   ask each worker of another release to stay without turns ─▶ its turns end, or move on before their next step
 *
 * With `--restart`, these workers exit instead, and their platform starts new ones, which take turns again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Db } from '#shared/db/client/pool.ts';
import { readReleaseWorkers, requestDrain, type ReleaseWorker } from '#shared/db/ops/workers.ts';
import { countVersions } from '#shared/db/queue/versions.ts';
import { CommandError, type AdminCommand } from './command.ts';

const pollMs = 2_000;
/** A worker that has just started is known after its first heartbeat. */
const startMs = 3_000;
/** A claim may be under way when a worker sees the request, so one look is not enough. */
const quietLooks = 2;

export const drainCommand: AdminCommand = {
  usage: '--keep RELEASE [--wait 900 | --restart]   workers of other releases finish their turns',
  run: async ({ db, args, print }) => {
    const { keep, wait, restart } = readOptions(args);
    if (restart) {
      const { others } = await readOthers(db, keep);
      await requestDrain(db, toNames(others));
      print(`workers of other releases that restart: ${others.length}`);
      return;
    }
    const deadline = performance.now() + wait * 1000;
    await untilOneRuns(db, keep);
    await untilVersionsEnded(db, deadline);
    const asked = new Set<string>();
    for (let quiet = 0; ;) {
      const { own, others } = await readOthers(db, keep);
      if (own.length === 0) throw noneRuns(keep);
      const unasked = toNames(others).filter((name) => !asked.has(name));
      await requestDrain(db, unasked, 'stay');
      for (const name of unasked) asked.add(name);
      const turns = others.reduce((sum, each) => sum + each.turns, 0);
      const isQuiet = turns === 0 && unasked.length === 0 && !others.some(({ isAsked }) => isAsked);
      quiet = isQuiet ? quiet + 1 : 0;
      if (quiet >= quietLooks || others.length === 0) {
        print(`workers of other releases: ${others.length}, turns that they run: 0`);
        return;
      }
      if (performance.now() >= deadline) {
        print(
          `workers of other releases: ${others.length}, turns that they run: ${turns}. Once these workers end, other workers continue the turns from their last step`,
        );
        return;
      }
      await sleep(pollMs);
    }
  },
};

/** @throws {CommandError} if no worker of the release runs */
async function untilOneRuns(db: Db, keep: string): Promise<void> {
  const deadline = performance.now() + startMs;
  while ((await readOthers(db, keep)).own.length === 0) {
    if (performance.now() >= deadline) throw noneRuns(keep);
    await sleep(200);
  }
}

function noneRuns(keep: string): CommandError {
  return new CommandError(`no worker of ${keep} runs, so nothing would take the turns of the others`);
}

/** @throws {CommandError} if turns are left that only workers of an older version of the agent can continue */
async function untilVersionsEnded(db: Db, deadline: number): Promise<void> {
  for (;;) {
    const [, ...older] = await countVersions(db);
    const left = older.filter(({ turns }) => turns > 0);
    if (left.length === 0) return;
    if (performance.now() >= deadline) {
      const list = left.map(({ version, turns }) => `${turns} of ${version}`).join(', ');
      throw new CommandError(
        `turns of older versions of the agent are left (${list}), which only their workers can continue: keep these workers`,
      );
    }
    await sleep(pollMs);
  }
}

async function readOthers(db: Db, keep: string): Promise<{ own: ReleaseWorker[]; others: ReleaseWorker[] }> {
  const workers = await readReleaseWorkers(db);
  return {
    own: workers.filter(({ release }) => release === keep),
    others: workers.filter(({ release }) => release !== keep),
  };
}

function toNames(workers: readonly ReleaseWorker[]): string[] {
  return workers.map(({ worker }) => worker);
}

function readOptions(args: readonly string[]): { keep: string; wait: number; restart: boolean } {
  const option = { type: 'string' } as const;
  const options = { keep: option, wait: option, restart: { type: 'boolean' } } as const;
  let values: { keep?: string; wait?: string; restart?: boolean };
  try {
    ({ values } = parseArgs({ args: [...args], options }));
  } catch (error) {
    throw new CommandError((error as Error).message, { cause: error });
  }
  const { keep, wait = '900', restart = false } = values;
  if (keep === undefined) throw new CommandError('drain expects --keep with the release whose workers stay');
  if (restart && values.wait !== undefined)
    throw new CommandError('--restart does not wait: leave out --wait');
  const seconds = Number(wait);
  if (wait === '' || !Number.isFinite(seconds) || seconds < 0)
    throw new CommandError(`--wait must be a number of seconds of at least 0, not ${wait}`);
  return { keep, wait: seconds, restart };
}
