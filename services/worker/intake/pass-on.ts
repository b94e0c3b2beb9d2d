/**
 * Push mode, for an agent that declares a version: a worker of an older version passes new turns on.
 *
 *   wake-up ─▶ newest version? ──yes─────────────────────────────▶ claim
 *                └─no─▶ turn without a version? ──no─────────────▶ claim
 *                          └─yes─▶ woken again in a second, for any instance
 *
 * Nothing runs outside of requests, so versions show themselves with requests.
 */
import type { Db } from '#shared/db/client/pool.ts';
import { postponeNewTurn, showVersion } from '#shared/db/queue/versions.ts';
import type { Logger } from '#shared/runtime/log.ts';

/** A version without a request for this time no longer takes the new turns of others. */
const unseenSeconds = 60;
/** The time between two looks at the versions that run. */
const lookMs = 4_000;
const wakeSeconds = 1;

/** Returns whether another instance is to run the turn. */
export type PassOn = (taskId: string) => Promise<boolean>;

export function createPassOn(db: Db, version: string, log: Logger): PassOn {
  let lookedAt = Number.NEGATIVE_INFINITY;
  let isNewest = true;

  async function look(): Promise<void> {
    lookedAt = performance.now();
    const before = isNewest;
    ({ isNewest } = await showVersion(db, version, unseenSeconds));
    if (before && !isNewest) log.info({ version }, 'a newer version of the agent takes new turns');
  }

  return async (taskId) => {
    if (performance.now() - lookedAt >= lookMs) await look();
    return !isNewest && postponeNewTurn(db, taskId, wakeSeconds);
  };
}
