/** The ends of calls in a batch: each wakes the turn that waits for it. */
import { sql } from 'kysely';
import type { ModelUsage } from '../../domain/usage.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import type { Db } from '../client/pool.ts';
import { areContentsEncrypted, createSealerOfTasks } from '../contents/codec.ts';
import { json, rows as toRows, uuid } from '../client/rows.ts';
import { insertTurnWakeups, toTurnWakeup, type TurnWakeupRow } from '../outbox/outbox.ts';
import { isRunnable } from '../turns/leases.ts';
import { isReleased, signalTurn } from '../turns/waits/signal.ts';

export interface BatchResult {
  /** The id of the call. */
  id: string;
  /** JSON of its response or its error. */
  result: string;
  /** Undefined: none is known. */
  usage: ModelUsage | undefined;
}

/** So that no statement holds the gates of many tasks. */
const setSize = 100;

/**
 * Stores the results of calls. Those of calls that have ended already are left out.
 *
 * @returns the wake-ups to publish
 */
export async function storeBatchResults(
  db: Db,
  options: { wakeupGraceSeconds: number },
  results: readonly BatchResult[],
): Promise<Wakeup[]> {
  const wakeups: Wakeup[] = [];
  for (let start = 0; start < results.length; start += setSize) {
    wakeups.push(...(await storeSet(db, options, results.slice(start, start + setSize))));
  }
  return wakeups;
}

/** Gates are locked in the order of their tasks. */
async function storeSet(
  db: Db,
  { wakeupGraceSeconds }: { wakeupGraceSeconds: number },
  results: readonly BatchResult[],
): Promise<Wakeup[]> {
  const input = toRows('input', await sealResults(db, results), {
    id: uuid((each) => each.id),
    result: json((each) => each.result),
    usage: json(({ usage }) => (usage === undefined ? null : JSON.stringify(usage))),
  });
  const { rows } = await sql<TurnWakeupRow>`
    with ended as (
      update batch_calls c set result = input.result, usage = input.usage, ended_at = now(), request = null
      from (${input}) input where c.id = input.id and c.ended_at is null
      returning c.task_id, c.turn
    ),
    waiting as (
      select g.task_id from gates g join ended on ended.task_id = g.task_id and ended.turn = g.turn
      where ${isRunnable} order by g.task_id for no key update of g
    ),
    gate as (
      update gates g set ${signalTurn(wakeupGraceSeconds)} from waiting where g.task_id = waiting.task_id
      returning g.task_id, g.turn, ${isReleased}
    )
    ${insertTurnWakeups(sql`gate.is_free`)}`.execute(db);
  return rows.map(toTurnWakeup);
}

async function sealResults(db: Db, results: readonly BatchResult[]): Promise<readonly BatchResult[]> {
  if (!areContentsEncrypted()) return results;
  const ids = results.map(({ id }) => id);
  const calls = await db.selectFrom('batch_calls').select(['id', 'task_id']).where('id', 'in', ids).execute();
  const tasks = new Map(calls.map((call) => [call.id, call.task_id]));
  const sealer = await createSealerOfTasks([...tasks.values()]);
  return results.flatMap((each) => {
    const taskId = tasks.get(each.id);
    // A call is removed with its task.
    if (taskId === undefined || sealer.getKey(taskId) === undefined) return [];
    return [{ ...each, result: sealer.json('reply', taskId, each.result) }];
  });
}
