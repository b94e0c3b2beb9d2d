/**
 * Claims turns. One statement serves all turns that are claimed at the same time (claim-set.ts).
 *
 * Every claim counts as an attempt before its input is read, so a task whose input cannot be read runs out of
 * attempts like any other. If the database refuses a set, its tasks are claimed one by one, and a task whose own
 * claim it refuses is claimed without input.
 */
import type { Wakeup } from '../../domain/wakeup.ts';
import type { Usage } from '../../domain/usage.ts';
import { createBatcher } from '../client/batcher.ts';
import { wasRefused } from '../client/errors.ts';
import { locked, retryWhileLocked } from '../client/locked.ts';
import type { Db } from '../client/pool.ts';
import { areContentsEncrypted, openText } from '../contents/codec.ts';
import { toWakeups } from '../outbox/outbox.ts';
import { claimSet, readRunnable, type ClaimRow } from './claim-set.ts';
import { openInline, toTurnContent } from './input/inline-input.ts';
import type { Lease } from './leases.ts';
import { holderFirst, holdersFirstMs, retryWhileHolderFirst } from './take-over.ts';
import type { TurnContent } from './turn-content.ts';

export interface Claimed {
  kind: 'claimed';
  lease: Lease;
  /** Starts of this turn since its last recorded step, including this one. */
  attempts: number;
  /** Failures of the agent's partners since the last recorded step, and since when they fail. */
  failures: number;
  failingSince: Date | null;
  /** The last attempt ended without a word: its worker died, or lost the database for the length of a lease. */
  crashed: boolean;
  /** Counts the waits of the task that a call has ended. */
  signals: number;
  /** The number of the last event of the task. */
  lastEvent: number;
  /** The last error of the task. */
  lastError: string | null;
  /** The time of the last status. Later ones are not before it. */
  statusAt: Date;
  task: ClaimedTask;
  /** Undefined if the input was not read with the claim; see input/input.ts. */
  content: TurnContent | undefined;
  /** Whether the context may have earlier turns. */
  hasHistory: boolean;
  wakeups: Wakeup[];
}

/** The small columns of a task. */
export interface ClaimedTask {
  tenant: string;
  owner: string;
  contextId: string;
  agentHash: string;
  usage: Usage | undefined;
  traceparent: string | null;
  isChild: boolean;
  /** It has started children. */
  isParent: boolean;
}

/**
 * - `leased`: another worker has the task
 * - `other_version`: the turn has steps of a version of the agent that this worker does not run
 * - `idle`: there is nothing to run: the task is interrupted, terminal, removed, or delayed
 */
export type ClaimResult = Claimed | { kind: 'leased' } | { kind: 'other_version' } | { kind: 'idle' };

export type Claim = (taskId: string) => Promise<ClaimResult>;

export interface ClaimOptions {
  /** Identifies the worker. */
  worker: string;
  leaseSeconds: number;
  wakeupGraceSeconds: number;
  /** When the database last failed, or may have, by `performance.now()`. Default: never. */
  databaseFailedAt?: () => number;
  /** A task with more attempts than this is claimed without its input, only to be ended. */
  maxAttempts: number;
  /** The versions of the agent whose turns this worker continues. Default: none, only turns without a version. */
  agentVersions?: readonly string[];
}

type SetResult = ClaimResult | typeof locked | typeof holderFirst;

export function createClaim(db: Db, options: ClaimOptions): Claim {
  const claimOnce = createBatcher(
    async (taskIds: readonly string[]) => {
      const results = await claimWithInput(db, options, taskIds);
      return taskIds.map((taskId): SetResult => results.get(taskId) ?? { kind: 'idle' });
    },
    { max: 128, lanes: 2, key: (taskId) => taskId },
  );
  return (taskId) => retryWhileHolderFirst(() => retryWhileLocked(() => claimOnce(taskId)));
}

/** @throws {Error} of the database. The batcher repeats a set that was refused with each of its tasks alone */
async function claimWithInput(
  db: Db,
  options: ClaimOptions,
  taskIds: readonly string[],
): Promise<Map<string, SetResult>> {
  try {
    return await claim(db, options, taskIds, true);
  } catch (error) {
    if (taskIds.length > 1 || !wasRefused(error)) throw error;
    return claim(db, options, taskIds, false);
  }
}

async function claim(
  db: Db,
  options: ClaimOptions,
  taskIds: readonly string[],
  withInput: boolean,
): Promise<Map<string, SetResult>> {
  const results = new Map<string, SetResult>();
  const failedAt = options.databaseFailedAt?.() ?? -Infinity;
  const set = { ...options, mayTakeOver: performance.now() - failedAt > holdersFirstMs };
  for (const row of await claimSet(db, set, taskIds, withInput)) {
    results.set(row.task_id, toClaimed(areContentsEncrypted() ? await openRow(row) : row));
  }
  const missed = taskIds.filter((taskId) => !results.has(taskId));
  if (missed.length === 0) return results;
  for (const { task_id: taskId, lease, runs } of await readRunnable(db, set, missed)) {
    // Free but not claimed: its gate is locked, or changed while the statement ran.
    const free = runs ? locked : ({ kind: 'other_version' } as const);
    const leased = lease === 'expired' ? holderFirst : ({ kind: 'leased' } as const);
    results.set(taskId, lease === null ? free : leased);
  }
  return results;
}

/** Decrypts the contents that the claim has read. */
async function openRow(row: ClaimRow): Promise<ClaimRow> {
  try {
    const inline = await openInline(row.task_id, row);
    return { ...row, ...inline, last_error: await openText('error', row.task_id, row.last_error) };
  } catch {
    // Reported when the turn reads its input.
    return { ...row, inline: false, last_error: null };
  }
}

function toClaimed(row: ClaimRow): Claimed {
  const { task_id: taskId, turn, fence, attempts, failures, crashed } = row;
  return {
    kind: 'claimed',
    lease: { taskId, turn, fence },
    attempts,
    failures,
    failingSince: row.failing_since,
    crashed,
    signals: row.signals,
    lastEvent: row.last_event,
    lastError: row.last_error,
    statusAt: row.status_at,
    task: {
      tenant: row.tenant,
      owner: row.owner,
      contextId: row.context_id,
      agentHash: row.agent_hash,
      usage: row.usage ?? undefined,
      traceparent: row.traceparent,
      isChild: row.is_child,
      isParent: row.is_parent,
    },
    content: toTurnContent(row),
    hasHistory: row.has_history ?? true,
    wakeups: toWakeups(row, taskId, turn, null),
  };
}
