/** Accepts a further message to a task: one statement that starts at the gate (invariant 3). */
import { sql, type RawBuilder } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import type { JsonText } from '../../runtime/json-bytes.ts';
import { largeWork, minLargeBytes } from '../../runtime/large-work.ts';
import { nextStatusAt, seconds } from '../client/fragments.ts';
import { runLargeStatement } from '../client/large-statements.ts';
import { locked, retryWhileLocked } from '../client/locked.ts';
import type { Db } from '../client/pool.ts';
import { areContentsEncrypted, createSealer } from '../contents/codec.ts';
import { toWakeups, wakeupColumns, type WakeupColumns } from '../outbox/outbox.ts';
import { countFollowUpBytes } from '../owners/bytes.ts';
import { hasEnded, insertStateEvent, notifyOfStateEvent } from './state-event.ts';

export interface FollowUp {
  taskId: string;
  tenant: string;
  owner: string;
  messageId: string;
  requestHash: string;
  /** JSON of the message and of the accepted output modes. */
  message: JsonText;
  /** The size of the message as UTF-8, if it is known. */
  messageBytes?: number;
  acceptedOutputModes: string | null;
  /** The caller gets a Task, so a direct answer can no longer hide it. */
  shown: boolean;
  traceparent: string | null;
}

export type FollowUpResult =
  | { kind: 'accepted'; turn: number; wakeups: Wakeup[] }
  /** The task is terminal; nothing was written (invariant 4). */
  | { kind: 'terminal' }
  /** This message was accepted before; nothing was written. */
  | { kind: 'repeat' };

interface Options {
  /** How long a repeated message finds the turn of the first one; 0: never. */
  idempotencyWindowSeconds: number;
  wakeupGraceSeconds: number;
}

interface Row extends WakeupColumns {
  /** Null: nothing was written. */
  turn: number | null;
  repeat: boolean;
}

/**
 * Stores a message as the next turn of a task. A working task runs it after the current turn; an interrupted
 * task becomes working at once.
 */
export async function acceptFollowUp(db: Db, options: Options, unsealed: FollowUp): Promise<FollowUpResult> {
  const followUp = areContentsEncrypted() ? await seal(unsealed) : unsealed;
  const { taskId, traceparent } = followUp;
  return retryWhileLocked(async (): Promise<FollowUpResult | typeof locked> => {
    const run = () => accept(db, options, followUp);
    const row = await (isLarge(followUp) ? runLargeStatement(followUp.owner, run) : run());
    if (row.repeat) return { kind: 'repeat' };
    const { turn } = row;
    if (turn !== null) return { kind: 'accepted', turn, wakeups: toWakeups(row, taskId, turn, traceparent) };
    // Otherwise a webhook config changed at the same time (`seen`).
    return (await hasEnded(db, taskId)) ? { kind: 'terminal' } : locked;
  });
}

function isLarge({ message }: FollowUp): boolean {
  return message.length >= minLargeBytes;
}

async function seal(followUp: FollowUp): Promise<FollowUp> {
  const sealer = await createSealer([followUp]);
  if (isLarge(followUp)) await largeWork.start(followUp.owner);
  return { ...followUp, message: sealer.json('message', followUp.taskId, followUp.message) };
}

async function accept(db: Db, options: Options, followUp: FollowUp): Promise<Row> {
  const { owner, traceparent } = followUp;
  const event = {
    from: sql`task where resumed`,
    settles: false,
    wake: { turn: sql`turn`, owner },
    traceparent,
  };
  try {
    const { rows } = await sql<Row>`
      with ${updateGate(followUp, options)},
      ${recordSend(options.idempotencyWindowSeconds, followUp)},
      message as (
        insert into messages (task_id, turn, role, message, accepted_output_modes, context_key)
        select task_id, turn, 'user', ${followUp.message}::json, ${followUp.acceptedOutputModes}::json,
          (select m.context_key from messages m where m.task_id = gate.task_id and m.turn = 1 and m.role = 'user')
        from gate
      ),
      task as (
        update tasks t set shown = t.shown or ${followUp.shown}, traceparent = coalesce(${traceparent}, t.traceparent),
          state = case when gate.resumed then 'TASK_STATE_WORKING' else t.state end,
          status_at = case when gate.resumed then ${nextStatusAt(sql`t.status_at`)} else t.status_at end,
          status_message = case when not gate.resumed then t.status_message end
        from gate where t.id = gate.task_id
        returning gate.*, t.context_id, t.state, t.status_at
      ),
      ${insertStateEvent(options, event)}
      select ${wakeupColumns}, (select turn from gate), exists (select from repeat) as repeat, ${notifyOfStateEvent}
      from wakeup`.execute(db);
    const [row] = rows;
    if (row === undefined) throw new Error('an aggregate returned no row');
    return row;
  } catch (error) {
    if (!isRepeat(error)) throw error;
    return { turn: null, repeat: true, wakeup_id: null, wakeup_owner: null, delivery_wakeups: null };
  }
}

/**
 * The CTE `repeat` has a row if the message was sent before. Otherwise the CTE `gate` adds a turn to the gate. If the
 * task is interrupted, the turn starts at once, with an event, for which the gate must have the configs that the
 * statement saw (`seen`, see turns/write-fragments.ts). Only an interrupted task has no turn in progress. Therefore,
 * turn = last_turn after the update means that the task was interrupted.
 */
function updateGate(followUp: FollowUp, options: Options): RawBuilder<unknown> {
  const { taskId, tenant, owner, messageId } = followUp;
  const interrupted = sql`g.state_class = ${stateClass.interrupted}`;
  return sql`
      repeat as (
        select from sends where ${options.idempotencyWindowSeconds} > 0 and message_id = ${messageId}
          and owner = ${owner} and tenant = ${tenant} and expires_at >= now()
      ),
      gate as (
        update gates g set
          last_turn = g.last_turn + 1,
          turn = case when ${interrupted} then g.last_turn + 1 else g.turn end,
          last_event = g.last_event + (${interrupted})::int,
          bytes = g.bytes + ${countFollowUpBytes(followUp)},
          state_class = ${stateClass.runnable},
          settled_at = null,
          run_at = case when ${interrupted} then now() else g.run_at end,
          wakeup_at = case
            when ${interrupted} then now() + ${seconds(options.wakeupGraceSeconds)}
            else g.wakeup_at end
        from gates seen
        where seen.task_id = ${taskId} and g.task_id = seen.task_id and g.state_class <> ${stateClass.terminal}
          and (g.config_rev = seen.config_rev or not ${interrupted}) and not exists (select from repeat)
        returning g.task_id, g.last_turn as turn, g.turn = g.last_turn as resumed, g.last_event, g.config_rev
      )`;
}

/** Fails the statement for a message that another statement has sent at the same time: see `isRepeat`. */
function recordSend(windowSeconds: number, send: FollowUp): RawBuilder<unknown> {
  return sql`
      send as (
        insert into sends (tenant, owner, message_id, request_hash, task_id, turn, expires_at)
        select ${send.tenant}, ${send.owner}, ${send.messageId}, ${send.requestHash}, task_id, turn,
          now() + ${seconds(windowSeconds)}
        from gate where ${windowSeconds} > 0
        on conflict (tenant, owner, message_id) do update
          set request_hash = case when sends.expires_at < now() then excluded.request_hash end,
            task_id = excluded.task_id, turn = excluded.turn, expires_at = excluded.expires_at
      )`;
}

/** Returns whether `recordSend` has met a send that has not expired: it set its hash to null (not_null_violation). */
function isRepeat(error: unknown): boolean {
  const { code, table } = error as { code?: unknown; table?: unknown };
  return code === '23502' && table === 'sends';
}
