/**
 * `npm run admin -- outcomes`: how the tasks of each release have ended. With `--candidate`, it waits until the release has
 * ended enough tasks, and fails if more of them failed than of the other releases: a canary is judged by its tasks.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { countOutcomes, type ReleaseOutcomes } from '#shared/db/ops/outcomes.ts';
import { CommandError, type AdminCommand } from './command.ts';

const pollMs = 5_000;

interface Limits {
  minutes: number;
  /** Tasks of the candidate that must have ended. */
  atLeast: number;
  /** Percentage points by which its share of failed tasks may exceed that of the others. */
  tolerance: number;
  /** Seconds. */
  wait: number;
}

export const outcomesCommand: AdminCommand = {
  usage:
    '[--minutes 30] [--candidate RELEASE [--at-least 20] [--tolerance 5] [--wait 600]]   ended tasks by release',
  run: async ({ db, args, print }) => {
    const { candidate, ...limits } = readOptions(args);
    const deadline = performance.now() + limits.wait * 1000;
    for (;;) {
      const outcomes = await countOutcomes(db, limits.minutes * 60);
      const ended = outcomes.find(({ release }) => release === candidate)?.ended ?? 0;
      const isOver = performance.now() >= deadline;
      if (candidate !== undefined && ended < limits.atLeast && !isOver) {
        await sleep(Math.min(pollMs, Math.max(0, deadline - performance.now())));
        continue;
      }
      for (const { release, ended: all, failed } of outcomes) {
        print(`${release.padEnd(20)}${all} ended, ${failed} failed`);
      }
      if (candidate !== undefined) judge(candidate, outcomes, limits);
      else if (outcomes.length === 0)
        print('No task of a worker with WORKER_RELEASE has ended in this time.');
      return;
    }
  },
};

/** @throws {CommandError} if the candidate must not replace the others */
function judge(candidate: string, outcomes: readonly ReleaseOutcomes[], limits: Limits): void {
  const own = outcomes.find(({ release }) => release === candidate) ?? { ended: 0, failed: 0 };
  if (own.ended < limits.atLeast) {
    throw new CommandError(
      `${candidate} has ended ${own.ended} tasks, but ${limits.atLeast} are needed to judge it`,
    );
  }
  const others = outcomes.filter(({ release }) => release !== candidate);
  const ended = others.reduce((sum, each) => sum + each.ended, 0);
  const failed = others.reduce((sum, each) => sum + each.failed, 0);
  const [share, before] = [(100 * own.failed) / own.ended, ended === 0 ? 0 : (100 * failed) / ended];
  if (share > before + limits.tolerance) {
    throw new CommandError(
      `${share.toFixed(1)}% of the tasks of ${candidate} failed, and ${before.toFixed(1)}% of the others: roll back`,
    );
  }
}

function readOptions(args: readonly string[]): Limits & { candidate: string | undefined } {
  const option = { type: 'string' } as const;
  const options = { minutes: option, candidate: option, 'at-least': option, tolerance: option, wait: option };
  let values: Partial<Record<keyof typeof options, string>>;
  try {
    ({ values } = parseArgs({ args: [...args], options }));
  } catch (error) {
    throw new CommandError((error as Error).message, { cause: error });
  }
  const read = (name: keyof typeof options, fallback: number, min: number): number => {
    const value = Number(values[name] ?? fallback);
    if (!Number.isFinite(value) || value < min) {
      throw new CommandError(`--${name} must be a number of at least ${min}, not ${values[name]}`);
    }
    return value;
  };
  return {
    candidate: values.candidate,
    minutes: read('minutes', 30, 1),
    atLeast: read('at-least', 20, 1),
    tolerance: read('tolerance', 5, 0),
    wait: read('wait', 600, 0),
  };
}
