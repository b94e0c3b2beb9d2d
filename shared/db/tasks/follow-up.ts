/**
 * Accepts a further message to a task: one transaction that starts at the gate (invariant 3) and reads only
 * while it holds the gate's lock.
 */
import { sql, type Transaction } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import { nextStatusAt, seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { runTransaction } from '../client/transaction.ts';
import { countFollowUpBytes } from '../owners/bytes.ts';
import type { Database } from '../schema/schema.ts';
import { writeStateEvent } from './state-event.ts';

export interface FollowUp {
  taskId: string;
  tenant: string;
  owner: string;
  messageId: string;
  requestHash: string;
  /** JSON of the message and of the accepted output modes. */
  message: string;
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

class RepeatError extends Error {}

/**
 * Stores a message as the next turn of a task. A working task runs it after the current turn; an interrupted
 * task becomes working at once.
 */
export async function acceptFollowUp(db: Db, options: Options, followUp: FollowUp): Promise<FollowUpResult> {
  const { taskId, traceparent } = followUp;
  try {
    return await runTransaction(db, async (trx): Promise<FollowUpResult> => {
      const gate = await updateGate(trx, followUp, options.wakeupGraceSeconds);
      if (gate === undefined) return { kind: 'terminal' };
      const { turn, resumed } = gate;
      if (options.idempotencyWindowSeconds > 0) {
        await recordSend(trx, options.idempotencyWindowSeconds, followUp, turn);
      }
      await trx
        .insertInto('messages')
        .values({
          task_id: taskId,
          turn,
          role: 'user',
          message: followUp.message,
          accepted_output_modes: followUp.acceptedOutputModes,
          context_key: (query) =>
            query
              .selectFrom('messages')
              .select('context_key')
              .where('task_id', '=', taskId)
              .where('turn', '=', 1)
              .where('role', '=', 'user'),
        })
        .execute();
      await trx
        .updateTable('tasks')
        .set({ shown: sql`shown or ${followUp.shown}`, ...(traceparent !== null && { traceparent }) })
        .$if(resumed, (query) =>
          query.set({
            state: 'TASK_STATE_WORKING',
            status_at: nextStatusAt(sql`status_at`),
            status_message: null,
          }),
        )
        .where('id', '=', taskId)
        .execute();
      const wakeups = resumed
        ? await writeStateEvent(trx, options, {
            taskId,
            settles: false,
            wake: { turn, owner: followUp.owner },
            traceparent,
          })
        : [];
      return { kind: 'accepted', turn, wakeups };
    });
  } catch (error) {
    if (error instanceof RepeatError) return { kind: 'repeat' };
    throw error;
  }
}

/**
 * Adds a turn to the gate. If the task is interrupted, the turn starts at once.
 *
 * @returns the new turn, and whether the task was interrupted; undefined if the task is terminal
 */
async function updateGate(
  trx: Transaction<Database>,
  followUp: FollowUp,
  wakeupGraceSeconds: number,
): Promise<{ turn: number; resumed: boolean } | undefined> {
  // Only an interrupted task has no turn in progress. Therefore, turn = last_turn after the update means that
  // the task was interrupted.
  const interrupted = sql`state_class = ${stateClass.interrupted}`;
  const { rows } = await sql<{ turn: number; resumed: boolean }>`
    update gates set
      last_turn = last_turn + 1,
      turn = case when ${interrupted} then last_turn + 1 else turn end,
      last_event = last_event + (${interrupted})::int,
      bytes = bytes + ${countFollowUpBytes(followUp)},
      state_class = ${stateClass.runnable},
      settled_at = null,
      run_at = case when ${interrupted} then now() else run_at end,
      wakeup_at = case when ${interrupted} then now() + ${seconds(wakeupGraceSeconds)} else wakeup_at end
    where task_id = ${followUp.taskId} and state_class <> ${stateClass.terminal}
    returning last_turn as turn, turn = last_turn as resumed`.execute(trx);
  return rows[0];
}

/** @throws {RepeatError} if this message was already sent within the window */
async function recordSend(
  trx: Transaction<Database>,
  windowSeconds: number,
  send: FollowUp,
  turn: number,
): Promise<void> {
  const { rows } = await sql`
    insert into sends (tenant, owner, message_id, request_hash, task_id, turn, expires_at)
    values (${send.tenant}, ${send.owner}, ${send.messageId}, ${send.requestHash}, ${send.taskId}, ${turn},
      now() + ${seconds(windowSeconds)})
    on conflict (tenant, owner, message_id) do update
      set request_hash = excluded.request_hash, task_id = excluded.task_id, turn = excluded.turn,
        expires_at = excluded.expires_at
      where sends.expires_at < now()
    returning task_id`.execute(trx);
  if (rows.length === 0) throw new RepeatError();
}
