/**
 * How long the turns of a worker that ends are without one: from its death, or from when it gave them back, until
 * another has claimed them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';

export interface FoundRecovery {
  how: 'SIGKILL' | 'SIGTERM';
  taskId: string;
  /** When nobody had it any more. */
  from: number;
  ms: number;
}

export interface Recovery extends FoundRecovery {
  /** Its wakeup was lost or late, or may have gone to a worker that was paused, or ended, meanwhile. */
  hindered: boolean;
}

const lookMs = 25;
const boundMs = 60_000;

export function watchRecovery(
  pool: Pool,
  worker: string,
  how: FoundRecovery['how'],
  gone: Promise<unknown> | undefined,
): { counted: Promise<void>; done: Promise<FoundRecovery[]> } {
  // While the database is away, nothing is measured.
  const held = heldBy(pool, worker).catch(() => new Map<string, number>());
  const from = Promise.resolve(gone).then(() => Date.now());
  return {
    counted: held.then(() => undefined),
    done: watch(pool, how, held, from),
  };
}

async function heldBy(pool: Pool, worker: string): Promise<Map<string, number>> {
  const { rows } = await pool.query<{ task_id: string; fence: number }>(
    `select task_id, fence from gates where worker = $1 and lease_until > now() and state_class = 0`,
    [worker],
  );
  return new Map(rows.map((row) => [row.task_id, row.fence]));
}

async function watch(
  pool: Pool,
  how: FoundRecovery['how'],
  held: Promise<Map<string, number>>,
  gone: Promise<number>,
): Promise<FoundRecovery[]> {
  const waiting = new Map(await held);
  const freeSince = new Map<string, number>();
  const recoveries: FoundRecovery[] = [];
  if (how === 'SIGKILL') {
    const from = await gone;
    for (const taskId of waiting.keys()) freeSince.set(taskId, from);
  }
  const deadline = Date.now() + boundMs;
  while (waiting.size > 0 && Date.now() < deadline) {
    const now = Date.now();
    const rows = await look(pool, [...waiting.keys()]).catch(() => []);
    for (const { task_id: taskId, fence, held: taken, state_class, due } of rows) {
      const given = fence > (waiting.get(taskId) ?? 0);
      // It was ended by its worker or its client, or waits for its own time: nobody is to go on with it.
      if (state_class !== 0 || !due) waiting.delete(taskId);
      else if (given && !taken && !freeSince.has(taskId)) freeSince.set(taskId, now);
      else if (given && taken) {
        waiting.delete(taskId);
        const from = freeSince.get(taskId) ?? now - lookMs;
        recoveries.push({ how, taskId, from, ms: now - from });
      }
    }
    await sleep(lookMs);
  }
  return recoveries;
}

interface Look {
  task_id: string;
  fence: number;
  held: boolean;
  state_class: number;
  due: boolean;
}

async function look(pool: Pool, taskIds: readonly string[]): Promise<Look[]> {
  const { rows } = await pool.query<Look>(
    `select task_id, fence, worker is not null as held, state_class, run_at <= now() as due
     from gates where task_id = any($1)`,
    [taskIds],
  );
  return rows;
}
