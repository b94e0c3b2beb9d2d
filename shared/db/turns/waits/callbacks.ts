/** Ends waits by a call: the answers to callbacks, and their timeouts. */
import { sql } from 'kysely';
import type { Json } from '../../../domain/message.ts';
import type { CallbackResult, Wait } from '../../../domain/wait.ts';
import type { Wakeup } from '../../../domain/wakeup.ts';
import type { Db } from '../../client/pool.ts';
import { areContentsEncrypted, openJson } from '../../contents/codec.ts';
import { openWait, sealForWait } from '../../contents/writes.ts';
import { insertTurnWakeups, toTurnWakeup, type TurnWakeupRow } from '#shared/db/outbox/outbox.ts';
import { isRunnable, type Lease } from '../leases.ts';
import { isReleased, signalTurn } from './signal.ts';

/**
 * - `open`: an answer is awaited
 * - `answered`: it has its answer
 * - `timed_out`: its time is over
 * - `ended`: its turn or its task has ended
 */
export type CallbackState = 'open' | 'answered' | 'timed_out' | 'ended';

export interface Callback {
  taskId: string;
  state: CallbackState;
  owner: string;
  wait: Wait;
  /** A CallbackResult; null while the callback has none. */
  output: Json;
}

/** Returns the callback of a token; undefined if there is none. */
export async function readCallback(db: Db, token: string): Promise<Callback | undefined> {
  const { rows } = await sql<Callback & { state: Exclude<CallbackState, 'answered'> }>`
    select s.task_id as "taskId", t.owner, s.wait, s.output, case
      when s.due_at <= now() then 'timed_out'
      when g.turn <> s.turn or not ${isRunnable} then 'ended'
      else 'open' end as state
    from steps s join gates g on g.task_id = s.task_id join tasks t on t.id = s.task_id
    where s.token = ${token} and s.wait ->> 'kind' = 'callback'`.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const callback = areContentsEncrypted() ? { ...row, wait: await openWait(row.taskId, row.wait) } : row;
  if (callback.output === null) return callback;
  // Not read by the database, which cannot parse the \u0000 that an answer may contain.
  const output = await openJson('output', callback.taskId, callback.output);
  return { ...callback, output, state: (output as CallbackResult).status };
}

/**
 * Stores the answer to an open callback, and wakes its turn if no worker runs it. A worker that runs it finds the
 * count of signals raised when it puts the turn back. The clock is read under the lock of the gate, like the timeout
 * below: only one of them can end the wait.
 *
 * @param answer.result JSON of the CallbackResult
 * @returns undefined if the callback is not open; nothing was stored
 */
export async function answerCallback(
  db: Db,
  options: { wakeupGraceSeconds: number },
  answer: { token: string; result: string },
): Promise<Wakeup[] | undefined> {
  const output = await sealForWait(db, answer.token, 'output', answer.result);
  const { rows } = await sql<{ stored: boolean } & (TurnWakeupRow | { id: null })>`
    with target as (
      select task_id, turn, name, occurrence from steps
      where token = ${answer.token} and output is null and due_at > now()
    ),
    locked as (
      update gates g set bytes = g.bytes + ${Buffer.byteLength(answer.result)}::int, ${signalTurn(options.wakeupGraceSeconds)}
      from target where g.task_id = target.task_id and g.turn = target.turn and ${isRunnable}
      returning g.task_id, g.turn, ${isReleased}, clock_timestamp() as at
    ),
    gate as (
      update steps s set output = ${output}::json, finished_at = locked.at
      from locked join target on target.task_id = locked.task_id
      where s.task_id = target.task_id and s.turn = target.turn and s.name = target.name
        and s.occurrence = target.occurrence and s.output is null and s.due_at > locked.at
      returning s.task_id, s.turn, locked.is_free
    ),
    wakeup as (${insertTurnWakeups(sql`gate.is_free`)})
    -- Returns one row with null columns without a wake-up.
    select exists (select from gate) as stored, wakeup.*
    from (select) single_row left join wakeup on true`.execute(db);
  const [row] = rows;
  if (row === undefined || !row.stored) return undefined;
  return row.id === null ? [] : [toTurnWakeup(row)];
}

/**
 * Ends a callback whose time is over, and returns how it ended: by an answer, if that came first. Undefined: the
 * time is not over by the clock of the database, or an answer is being stored.
 * Without the lease, it returns undefined too: the next write is refused.
 */
export async function timeOutCallback(
  db: Db,
  lease: Lease,
  step: { name: string; occurrence: number },
): Promise<CallbackResult | undefined> {
  const timedOut: CallbackResult = { status: 'timed_out' };
  const { rows } = await sql<{ output: Json }>`
    with gate as (
      select g.task_id, g.turn from gates g
      where g.task_id = ${lease.taskId} and g.fence = ${lease.fence} and ${isRunnable} for no key update
    ),
    ended as (
      update steps s set output = ${JSON.stringify(timedOut)}::json, finished_at = now()
      from gate
      where s.task_id = gate.task_id and s.turn = gate.turn and s.name = ${step.name}
        and s.occurrence = ${step.occurrence} and s.output is null and s.due_at <= now()
      returning s.output
    )
    select coalesce((select output from ended), s.output) as output
    from steps s join gate on s.task_id = gate.task_id and s.turn = gate.turn
    where s.name = ${step.name} and s.occurrence = ${step.occurrence}`.execute(db);
  const output = await openJson('output', lease.taskId, rows[0]?.output ?? null);
  return (output ?? undefined) as CallbackResult | undefined;
}
