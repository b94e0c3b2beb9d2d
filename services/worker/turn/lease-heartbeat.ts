/**
 * Extends the leases of all turns in this process, and aborts a turn that has lost its lease (invariant 3):
 *
 *   held ──check, at least twice a second──▶ held      (each third of the lease time, the check extends it)
 *    │ ▲                     │
 *    │ └──── extended ────┐  └──▶ superseded: the task was canceled, or another worker claimed it
 *    ▼                    │        (noticed within 500 ms, invariant 10)
 *   unconfirmed: the lease time, or that of the process's heartbeat, has passed by this process's monotonic clock,
 *    │           because the database could not be reached or the process was paused. Nothing starts, but what runs
 *    │           continues: usually no other worker has claimed the task, and the work of a step may be worth many minutes
 *    └──15 minutes later──▶ expired
 *
 * An attempt whose lease was taken over although its process lives has not crashed, and does not count.
 */
import type { Db } from '#shared/db/client/pool.ts';
import { isPassing } from '#shared/db/client/errors.ts';
import { forgiveStalls } from '#shared/db/turns/attempts.ts';
import { extendLeases, findHeldLeases, type Lease } from '#shared/db/turns/leases.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { ProcessHeartbeat } from './process-heartbeat.ts';

/** Longest time between two checks. A short lease is checked six times in its lease time. */
const maxCheckMs = 500;

/** How long a turn runs without knowing whether it still has its lease. */
const maxUnconfirmedMs = 15 * 60_000;

export interface HeldLease {
  readonly lease: Lease;
  /**
   * Aborts when the lease is lost and on `abort()`. One signal serves both: `AbortSignal.any` links signals
   * by weak references, which keeps them in memory long after their turn.
   */
  readonly signal: AbortSignal;
  /** Returns why the lease is lost; undefined while it is held. */
  lost(): LeaseLostError | undefined;
  /** Aborts the signal without giving up the lease: the turn can still write how it ends. */
  abort(reason: Error): void;
  /**
   * Resolves if the lease is held: nothing may start before that. Waits while the database cannot confirm it.
   *
   * @throws {LeaseLostError} if the lease is lost
   * @throws the reason of the signal if it aborts
   */
  assertHeld(): Promise<void>;
  release(): void;
}

export interface LeaseHeartbeat {
  /** @param claimedAt `performance.now()` before the claim was sent */
  hold(lease: Lease, claimedAt: number): HeldLease;
  /** Whether this process runs a turn of the task. */
  holds(taskId: string): boolean;
  /** Aborts the turns of all leases, including leases that are added later. */
  abortAll(reason: Error): void;
  close(): Promise<void>;
}

/** Values of the metric attribute `longhaul.lease.reason`. */
type LossReason = 'expired' | 'superseded';

const lossMessages: Record<LossReason, string> = {
  expired: `the database could not confirm its lease for ${maxUnconfirmedMs / 60_000} minutes`,
  superseded: 'it was canceled or claimed by another worker',
};

interface Entry {
  lease: Lease;
  until: number;
  controller: AbortController;
  lost: LeaseLostError | undefined;
  /** The turn has released the lease. */
  released: boolean;
  /** Called when the lease is extended or the signal aborts. */
  waiting: (() => void)[];
}

/** The heartbeat of the process; without one, leases end only when they expire. */
export function createLeaseHeartbeat(parts: {
  db: Db;
  leaseSeconds: number;
  processHeartbeat?: Pick<ProcessHeartbeat, 'until' | 'onBeat'>;
  log: Logger;
}): LeaseHeartbeat {
  const { db, leaseSeconds, processHeartbeat, log } = parts;
  const leaseMs = leaseSeconds * 1000;
  const held = new Map<string, Entry>();
  let extendAt = 0;
  let abortReason: Error | undefined;
  let checking: Promise<void> | undefined;
  let forgiving: Promise<void> = Promise.resolve();
  const timer = setInterval(
    () => {
      checking ??= check().finally(() => (checking = undefined));
    },
    Math.min(maxCheckMs, leaseMs / 6),
  );

  /** Leases that were confirmed by statements sent before this time may have been ended since. */
  let confirmedFrom = -Infinity;

  processHeartbeat?.onBeat((wasDead) => {
    if (wasDead) confirmedFrom = performance.now();
    for (const entry of held.values()) {
      if (wasDead) entry.until = Math.min(entry.until, confirmedFrom);
      else resumeWaiting(entry);
    }
  });

  function isConfirmed(entry: Entry): boolean {
    return performance.now() < Math.min(entry.until, processHeartbeat?.until() ?? Infinity);
  }

  async function check(): Promise<void> {
    const checkedAt = performance.now();
    for (const entry of held.values()) {
      if (entry.until + maxUnconfirmedMs <= checkedAt) lose(entry, 'expired');
    }
    if (held.size === 0) return;
    const entries = [...held.values()];
    const leases = entries.map((entry) => entry.lease);
    const extend = checkedAt >= extendAt || entries.some((entry) => entry.until <= checkedAt);
    try {
      const checked = extend
        ? await extendLeases(db, leases, leaseSeconds)
        : { held: await findHeldLeases(db, leases), extended: new Set<string>() };
      // Otherwise the next check extends the rest.
      if (extend && checked.extended.size === checked.held.size) extendAt = checkedAt + leaseMs / 3;
      const lost: Lease[] = [];
      for (const entry of entries) {
        const { taskId } = entry.lease;
        if (held.get(taskId) !== entry) continue;
        if (!checked.held.has(taskId)) {
          lose(entry, 'superseded');
          lost.push(entry.lease);
        } else if (checked.extended.has(taskId) && checkedAt >= confirmedFrom) {
          entry.until = checkedAt + leaseMs;
          resumeWaiting(entry);
        }
      }
      if (lost.length > 0) forgiving = forgiving.then(() => forgive(lost));
    } catch (error) {
      log[isPassing(error) ? 'debug' : 'warn'](
        { error: errorMessage(error), leases: entries.length },
        'lease check failed',
      );
    }
  }

  async function forgive(lost: readonly Lease[]): Promise<void> {
    await forgiveStalls(db, lost).catch((error: unknown) =>
      log.debug({ error: errorMessage(error), leases: lost.length }, 'stalls not forgiven'),
    );
  }

  function resumeWaiting(entry: Entry): void {
    for (const resume of entry.waiting.splice(0)) resume();
  }

  function abort(entry: Entry, reason: Error): void {
    entry.controller.abort(reason);
    resumeWaiting(entry);
  }

  function lose(entry: Entry, reason: LossReason): void {
    const { lease } = entry;
    held.delete(lease.taskId);
    instruments.leasesLost.record(1, { 'longhaul.lease.reason': reason });
    entry.lost = new LeaseLostError(
      `task ${lease.taskId} no longer belongs to this worker: ${lossMessages[reason]}`,
    );
    abort(entry, entry.lost);
  }

  async function assertHeld(entry: Entry): Promise<void> {
    while (getLost(entry) === undefined && !isConfirmed(entry)) {
      entry.controller.signal.throwIfAborted();
      await new Promise<void>((resolve) => entry.waiting.push(resolve));
    }
    const lost = getLost(entry);
    if (lost !== undefined) throw lost;
  }

  return {
    hold: (lease, claimedAt) => {
      const controller = new AbortController();
      const entry: Entry = {
        lease,
        until: claimedAt >= confirmedFrom ? claimedAt + leaseMs : claimedAt,
        controller,
        lost: undefined,
        released: false,
        waiting: [],
      };
      held.set(lease.taskId, entry);
      // Schedules the next extension early enough for this lease: each is extended every third of its time.
      extendAt = Math.min(extendAt, claimedAt + leaseMs / 3);
      if (abortReason !== undefined) controller.abort(abortReason);
      return {
        lease,
        signal: controller.signal,
        lost: () => getLost(entry),
        abort: (reason) => abort(entry, reason),
        assertHeld: () => assertHeld(entry),
        release: () => {
          if (held.get(lease.taskId) === entry) held.delete(lease.taskId);
          entry.released = true;
        },
      };
    },
    holds: (taskId) => held.has(taskId),
    abortAll: (reason) => {
      abortReason = reason;
      for (const entry of held.values()) abort(entry, reason);
    },
    close: async () => {
      clearInterval(timer);
      await checking;
      await forgiving;
    },
  };
}

/** The error of a released lease is created when it is asked for: its stack is costly, and every turn ends. */
function getLost(entry: Entry): LeaseLostError | undefined {
  if (entry.released) entry.lost ??= new LeaseLostError(`the turn of task ${entry.lease.taskId} has ended`);
  return entry.lost;
}
