/**
 * Measures how long the turns of a worker that stops are without a worker: from its death, or from the release of each
 * turn, until another worker has claimed them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';

export interface Recovery {
  signal: 'SIGKILL' | 'SIGTERM';
  taskId: string;
  /** When the turn was left without a worker, in milliseconds since 1970. */
  from: number;
  ms: number;
}

export interface ClassifiedRecovery extends Recovery {
  /** The wake-up was lost or late, or may have gone to a worker that was paused or stopped in the meantime. */
  hindered: boolean;
}

const pollMs = 25;
const boundMs = 60_000;

/**
 * @param gone resolves when the worker is dead; undefined: it releases its turns
 * @returns `counted`: the turns of the worker are known, it may be stopped now; `done`: their recoveries
 */
export function watchRecovery(
  pool: Pool,
  worker: string,
  signal: Recovery['signal'],
  gone: Promise<unknown> | undefined,
): { counted: Promise<void>; done: Promise<Recovery[]> } {
  // Nothing is measured while the database is down.
  const held = readHeldTurns(pool, worker).catch(() => new Map<string, number>());
  const goneAt = Promise.resolve(gone).then(() => Date.now());
  return {
    counted: held.then(() => undefined),
    done: measure(pool, signal, held, goneAt),
  };
}

/** Reads the fence of each task that a worker holds. */
async function readHeldTurns(pool: Pool, worker: string): Promise<Map<string, number>> {
  const { rows } = await pool.query<{ task_id: string; fence: number }>(
    `select task_id, fence from gates left join extended_leases l using (task_id, fence)
     where worker = $1 and greatest(gates.lease_until, l.lease_until) > now() and state_class = 0`,
    [worker],
  );
  return new Map(rows.map((row) => [row.task_id, row.fence]));
}

async function measure(
  pool: Pool,
  signal: Recovery['signal'],
  held: Promise<Map<string, number>>,
  goneAt: Promise<number>,
): Promise<Recovery[]> {
  const waiting = new Map(await held);
  const freeSince = new Map<string, number>();
  const recoveries: Recovery[] = [];
  if (signal === 'SIGKILL') {
    const from = await goneAt;
    for (const taskId of waiting.keys()) freeSince.set(taskId, from);
  }
  const deadline = Date.now() + boundMs;
  while (waiting.size > 0 && Date.now() < deadline) {
    const now = Date.now();
    const rows = await readGates(pool, [...waiting.keys()]).catch(() => []);
    for (const { task_id: taskId, fence, held: isHeld, state_class, due } of rows) {
      const released = fence > (waiting.get(taskId) ?? 0);
      // The task has ended or waits for its own time: no worker should continue it.
      if (state_class !== 0 || !due) waiting.delete(taskId);
      else if (released && !isHeld && !freeSince.has(taskId)) freeSince.set(taskId, now);
      else if (released && isHeld) {
        waiting.delete(taskId);
        const from = freeSince.get(taskId) ?? now - pollMs;
        recoveries.push({ signal, taskId, from, ms: now - from });
      }
    }
    await sleep(pollMs);
  }
  return recoveries;
}

interface GateRow {
  task_id: string;
  fence: number;
  held: boolean;
  state_class: number;
  due: boolean;
}

async function readGates(pool: Pool, taskIds: readonly string[]): Promise<GateRow[]> {
  const { rows } = await pool.query<GateRow>(
    `select task_id, fence, worker is not null as held, state_class, run_at <= now() as due
     from gates where task_id = any($1)`,
    [taskIds],
  );
  return rows;
}
