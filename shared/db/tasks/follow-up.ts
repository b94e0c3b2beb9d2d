/**
 * What the front door writes about a task that exists: a further message, and a cancel. Each is one transaction that
 * begins at the gate (invariant 3); what it reads afterwards it reads after having the gate's lock.
 */
import { sql, type Transaction } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import { toWakeups, freshClaim, type WakeupColumns } from '../outbox/outbox.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import type { Db } from '../client/pool.ts';
import { deliveriesOf, notifyFollowers } from '../events/fan-out.ts';
import type { Database } from '../schema/schema.ts';

export interface FollowUp {
  taskId: string;
  tenant: string;
  owner: string;
  messageId: string;
  requestHash: string;
  message: string;
  acceptedOutputModes: string | null;
  /** Payload of the event "working" that a message to an interrupted task makes. */
  workingEvent: string;
  statusAt: string;
  /** The caller is given a Task: a direct answer can no longer hide it. */
  shown: boolean;
  traceparent: string | null;
}

export type FollowedUp =
  | { kind: 'accepted'; turn: number; wakeups: Wakeup[] }
  /** The task is at its end; nothing was written (invariant 4). */
  | { kind: 'terminal' }
  /** This message has been accepted before; nothing was written. */
  | { kind: 'repeat' };

interface Options {
  idempotencyWindowSeconds: number;
  wakeupGraceSeconds: number;
}

class Repeated extends Error {}

/**
 * Stores a message as the next turn of a task. A task that is working goes on, and has this turn after the present
 * one; an interrupted task becomes working at once.
 */
export async function acceptFollowUp(db: Db, options: Options, followUp: FollowUp): Promise<FollowedUp> {
  const { taskId, traceparent } = followUp;
  try {
    return await db.transaction().execute(async (trx): Promise<FollowedUp> => {
      // turn = last_turn after the update tells that no turn was under way: the task was interrupted.
      const { rows } = await sql<{ last_turn: number; resumed: boolean }>`
        update gates set
          last_turn = last_turn + 1,
          turn = case when state_class = ${stateClass.interrupted} then last_turn + 1 else turn end,
          last_event = last_event + (state_class = ${stateClass.interrupted})::int,
          state_class = ${stateClass.runnable},
          run_at = case when state_class = ${stateClass.interrupted} then now() else run_at end,
          wakeup_at = case when state_class = ${stateClass.interrupted}
            then now() + ${options.wakeupGraceSeconds} * interval '1 second' else wakeup_at end
        where task_id = ${taskId} and state_class <> ${stateClass.terminal}
        returning last_turn, turn = last_turn as resumed`.execute(trx);
      const [gate] = rows;
      if (gate === undefined) return { kind: 'terminal' };
      if (options.idempotencyWindowSeconds > 0) {
        await recordSend(trx, options.idempotencyWindowSeconds, followUp, gate.last_turn);
      }
      await trx
        .insertInto('messages')
        .values({
          task_id: taskId,
          turn: gate.last_turn,
          role: 'user',
          message: followUp.message,
          accepted_output_modes: followUp.acceptedOutputModes,
        })
        .execute();
      await trx
        .updateTable('tasks')
        .set({ shown: sql`shown or ${followUp.shown}`, ...(traceparent !== null && { traceparent }) })
        .$if(gate.resumed, (query) =>
          query.set({ state: 'TASK_STATE_WORKING', status_at: followUp.statusAt, status_message: null }),
        )
        .where('id', '=', taskId)
        .execute();
      const wakeups = gate.resumed
        ? await writeStateEvent(trx, options, {
            taskId,
            payload: followUp.workingEvent,
            settles: false,
            wake: gate.last_turn,
            traceparent,
          })
        : [];
      return { kind: 'accepted', turn: gate.last_turn, wakeups };
    });
  } catch (error) {
    if (error instanceof Repeated) return { kind: 'repeat' };
    throw error;
  }
}

async function recordSend(
  trx: Transaction<Database>,
  windowSeconds: number,
  send: FollowUp,
  turn: number,
): Promise<void> {
  const { rows } = await sql`
    insert into sends (tenant, owner, message_id, request_hash, task_id, turn, expires_at)
    values (${send.tenant}, ${send.owner}, ${send.messageId}, ${send.requestHash}, ${send.taskId}, ${turn},
      now() + ${windowSeconds} * interval '1 second')
    on conflict (tenant, owner, message_id) do update
      set request_hash = excluded.request_hash, task_id = excluded.task_id, turn = excluded.turn,
        expires_at = excluded.expires_at
      where sends.expires_at < now()
    returning task_id`.execute(trx);
  if (rows.length === 0) throw new Repeated();
}

/** @returns undefined where the task is at its end already: nothing was written (invariant 4) */
export async function cancelTask(
  db: Db,
  options: { wakeupGraceSeconds: number },
  cancel: { taskId: string; event: string; statusAt: string },
): Promise<Wakeup[] | undefined> {
  return db.transaction().execute(async (trx) => {
    // Raising the fence stops the worker's writes (invariant 10).
    const { numUpdatedRows } = await trx
      .updateTable('gates')
      .set({
        fence: sql`fence + 1`,
        last_event: sql`last_event + 1`,
        state_class: stateClass.terminal,
        wakeup_at: sql`now()`,
        lease_until: null,
        worker: null,
      })
      .where('task_id', '=', cancel.taskId)
      .where('state_class', '<>', stateClass.terminal)
      .executeTakeFirstOrThrow();
    if (numUpdatedRows === 0n) return undefined;
    await trx
      .updateTable('tasks')
      .set({ state: 'TASK_STATE_CANCELED', status_at: cancel.statusAt, status_message: null })
      .where('id', '=', cancel.taskId)
      .execute();
    return writeStateEvent(trx, options, {
      taskId: cancel.taskId,
      payload: cancel.event,
      settles: true,
      wake: null,
      traceparent: null,
    });
  });
}

/** Writes the event whose number the gate has just given out, its deliveries, and the wakeups of both. */
async function writeStateEvent(
  trx: Transaction<Database>,
  options: { wakeupGraceSeconds: number },
  event: {
    taskId: string;
    payload: string;
    settles: boolean;
    wake: number | null;
    traceparent: string | null;
  },
): Promise<Wakeup[]> {
  const { rows } = await sql<WakeupColumns>`
    with new_event as (
      select task_id, last_event as seq, 'state' as kind, ${event.payload}::json as payload,
        ${event.settles}::boolean as settles, config_rev
      from gates where task_id = ${event.taskId}
    ),
    event as (
      insert into events (task_id, seq, kind, payload, traceparent)
      select task_id, seq, kind, payload, ${event.traceparent} from new_event
    ),
    ${deliveriesOf(options.wakeupGraceSeconds)},
    wakeup as (
      insert into outbox (kind, task_id, turn, config_id, claimed_until, traceparent)
      select 'turn', task_id, ${event.wake}::int, null, now() + ${freshClaim}, ${event.traceparent}
      from new_event where ${event.wake}::int is not null
      union all
      select distinct 'delivery', task_id, null::int, config_id, now() + ${freshClaim}, null from delivery
      returning id, kind, config_id
    )
    select max(id) filter (where kind = 'turn') as wakeup_id,
      json_agg(json_build_object('id', id::text, 'config_id', config_id)) filter (where kind = 'delivery')
        as delivery_wakeups,
      ${notifyFollowers}
    from wakeup`.execute(trx);
  const [row] = rows;
  return row === undefined ? [] : toWakeups(row, event.taskId, event.wake ?? 0, event.traceparent);
}
