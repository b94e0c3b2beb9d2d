/**
 * Keeps the leases of the turns that run here, and tells each turn when it has lost its own (invariant 3): because it
 * was cancelled or taken over, which a look at the gates shows within half a second (invariant 10), or because the
 * database could not be asked before the lease ran out by this process's monotonic clock.
 */
import type { Db } from '#shared/db/client/pool.ts';
import { extendLeases, findHeldLeases, type Lease } from '#shared/db/turns/leases.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';

const lookMs = 500;

export interface HeldLease {
  readonly lease: Lease;
  /**
   * Aborts when the turn is lost, and when it is told to stop: one signal for all, since what `AbortSignal.any` makes is
   * held together by weak references, and so kept in memory long after its turn.
   */
  readonly signal: AbortSignal;
  /** Why the turn is lost; undefined while it is not. */
  lost(): LeaseLostError | undefined;
  /** Aborts the signal of a turn that is still held: it may write how it ends. */
  stop(reason: Error): void;
  /** @throws {LeaseLostError} when the lease may have run out: nothing new may be begun */
  assertHeld(): void;
  release(): void;
}

export interface LeaseHeartbeat {
  /** @param claimedAt `performance.now()` before the claim was sent */
  hold(lease: Lease, claimedAt: number): HeldLease;
  /** Stops all turns that are held, and those that are claimed after. */
  stopAll(reason: Error): void;
  close(): Promise<void>;
}

interface Entry {
  lease: Lease;
  until: number;
  ending: AbortController;
  lost: LeaseLostError | undefined;
}

export function createLeaseHeartbeat(parts: { db: Db; leaseSeconds: number; log: Logger }): LeaseHeartbeat {
  const { db, leaseSeconds, log } = parts;
  const leaseMs = leaseSeconds * 1000;
  const held = new Map<string, Entry>();
  let extendAt = 0;
  let stopped: Error | undefined;
  let looking: Promise<void> | undefined;
  const timer = setInterval(
    () => {
      looking ??= look().finally(() => (looking = undefined));
    },
    Math.min(lookMs, leaseMs / 6),
  );

  async function look(): Promise<void> {
    const before = performance.now();
    for (const entry of held.values()) if (entry.until <= before) lose(entry, 'its lease ran out');
    if (held.size === 0) return;
    const entries = [...held.values()];
    const leases = entries.map((entry) => entry.lease);
    const extend = before >= extendAt;
    try {
      const still = await (extend ? extendLeases(db, leases, leaseSeconds) : findHeldLeases(db, leases));
      if (extend) extendAt = before + leaseMs / 3;
      for (const entry of entries) {
        if (held.get(entry.lease.taskId) !== entry) continue;
        if (!still.has(entry.lease.taskId)) lose(entry, 'it was cancelled or taken over');
        else if (extend) entry.until = before + leaseMs;
      }
    } catch (error) {
      log.warn({ error: errorMessage(error), leases: entries.length }, 'leases could not be looked at');
    }
  }

  function lose(entry: Entry, why: string): void {
    held.delete(entry.lease.taskId);
    instruments.leasesLost.record(1, { 'longhaul.lease.reason': why });
    entry.lost = new LeaseLostError(`task ${entry.lease.taskId} is no longer this worker's: ${why}`);
    entry.ending.abort(entry.lost);
  }

  return {
    hold: (lease, claimedAt) => {
      const ending = new AbortController();
      const entry: Entry = { lease, until: claimedAt + leaseMs, ending, lost: undefined };
      held.set(lease.taskId, entry);
      // The next look extends it, so that no lease waits for longer than a third of its time.
      extendAt = Math.min(extendAt, claimedAt + leaseMs / 3);
      if (stopped !== undefined) ending.abort(stopped);
      return {
        lease,
        signal: ending.signal,
        lost: () => entry.lost,
        stop: (reason) => ending.abort(reason),
        assertHeld: () => {
          if (entry.lost === undefined && performance.now() >= entry.until) lose(entry, 'its lease ran out');
          if (entry.lost !== undefined) throw entry.lost;
        },
        release: () => {
          if (held.get(lease.taskId) === entry) held.delete(lease.taskId);
        },
      };
    },
    stopAll: (reason) => {
      stopped = reason;
      for (const { ending } of held.values()) ending.abort(reason);
    },
    close: async () => {
      clearInterval(timer);
      await looking;
    },
  };
}
