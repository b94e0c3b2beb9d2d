/**
 * Extends the leases of all turns in this process, and aborts a turn that has lost its lease (invariant 3):
 *
 *   held ──check, at least twice a second──▶ held        (each third of the lease time, the check extends it)
 *     ├──▶ superseded: the task was canceled, or another worker claimed it (noticed within 500 ms, invariant 10)
 *     └──▶ expired: the database could not be reached before the lease ran out by this process's monotonic clock
 */
import type { Db } from '#shared/db/client/pool.ts';
import { extendLeases, findHeldLeases, type Lease } from '#shared/db/turns/leases.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';

/** Longest time between two checks. A short lease is checked six times in its lease time. */
const maxCheckMs = 500;

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
  /** @throws {LeaseLostError} if the lease may have run out: nothing new may start */
  assertHeld(): void;
  release(): void;
}

export interface LeaseHeartbeat {
  /** @param claimedAt `performance.now()` before the claim was sent */
  hold(lease: Lease, claimedAt: number): HeldLease;
  /** Aborts the turns of all leases, including leases that are added later. */
  abortAll(reason: Error): void;
  close(): Promise<void>;
}

/** Values of the metric attribute `longhaul.lease.reason`. */
type LossReason = 'expired' | 'superseded';

const lossMessages: Record<LossReason, string> = {
  expired: 'its lease expired',
  superseded: 'it was canceled or claimed by another worker',
};

interface Entry {
  lease: Lease;
  until: number;
  controller: AbortController;
  lost: LeaseLostError | undefined;
}

export function createLeaseHeartbeat(parts: { db: Db; leaseSeconds: number; log: Logger }): LeaseHeartbeat {
  const { db, leaseSeconds, log } = parts;
  const leaseMs = leaseSeconds * 1000;
  const held = new Map<string, Entry>();
  let extendAt = 0;
  let abortReason: Error | undefined;
  let checking: Promise<void> | undefined;
  const timer = setInterval(
    () => {
      checking ??= check().finally(() => (checking = undefined));
    },
    Math.min(maxCheckMs, leaseMs / 6),
  );

  async function check(): Promise<void> {
    const checkedAt = performance.now();
    for (const entry of held.values()) if (entry.until <= checkedAt) lose(entry, 'expired');
    if (held.size === 0) return;
    const entries = [...held.values()];
    const leases = entries.map((entry) => entry.lease);
    const extend = checkedAt >= extendAt;
    try {
      const stillHeld = await (extend ? extendLeases(db, leases, leaseSeconds) : findHeldLeases(db, leases));
      if (extend) extendAt = checkedAt + leaseMs / 3;
      for (const entry of entries) {
        if (held.get(entry.lease.taskId) !== entry) continue;
        if (!stillHeld.has(entry.lease.taskId)) lose(entry, 'superseded');
        else if (extend) entry.until = checkedAt + leaseMs;
      }
    } catch (error) {
      log.warn({ error: errorMessage(error), leases: entries.length }, 'lease check failed');
    }
  }

  function lose(entry: Entry, reason: LossReason): void {
    const { lease, controller } = entry;
    held.delete(lease.taskId);
    instruments.leasesLost.record(1, { 'longhaul.lease.reason': reason });
    entry.lost = new LeaseLostError(
      `task ${lease.taskId} no longer belongs to this worker: ${lossMessages[reason]}`,
    );
    controller.abort(entry.lost);
  }

  return {
    hold: (lease, claimedAt) => {
      const controller = new AbortController();
      const entry: Entry = { lease, until: claimedAt + leaseMs, controller, lost: undefined };
      held.set(lease.taskId, entry);
      // Schedules the next extension early enough for this lease: each is extended every third of its time.
      extendAt = Math.min(extendAt, claimedAt + leaseMs / 3);
      if (abortReason !== undefined) controller.abort(abortReason);
      return {
        lease,
        signal: controller.signal,
        lost: () => entry.lost,
        abort: (reason) => controller.abort(reason),
        assertHeld: () => {
          if (entry.lost === undefined && performance.now() >= entry.until) lose(entry, 'expired');
          if (entry.lost !== undefined) throw entry.lost;
        },
        release: () => {
          if (held.get(lease.taskId) === entry) held.delete(lease.taskId);
        },
      };
    },
    abortAll: (reason) => {
      abortReason = reason;
      for (const { controller } of held.values()) controller.abort(reason);
    },
    close: async () => {
      clearInterval(timer);
      await checking;
    },
  };
}
