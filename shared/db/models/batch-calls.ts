/**
 * Calls of the model that wait for a batch (docs/develop/gemini.md). Each belongs to a wait of its turn, which is suspended meanwhile:
 *
 *   added ──collect time, or enough of them──▶ in a batch ──▶ at Google ──▶ ended, with a response or an error
 *     │                                                                        │
 *     └─turn over─▶ removed                        reply recorded, or turn over└─▶ removed (over-batch-calls.ts)
 */
import { sql } from 'kysely';
import { DecryptionError } from '../../crypto/encryption.ts';
import type { JsonObject } from '../../domain/message.ts';
import { uuidv7 } from '../../domain/ids.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { openJson } from '../contents/codec.ts';
import { sealForWait } from '../contents/writes.ts';
import { isRunnable } from '../turns/leases.ts';

/** Google's target for the end of a batch (ai.google.dev/gemini-api/docs/batch-api, "Service Level Objective"). */
const targetSeconds = 86_400;

export interface NewBatchCall {
  /** Names its wait. */
  token: string;
  model: string;
  /** JSON of a request of the SDK. */
  request: string;
  /** The longest time until it is sent. */
  collectSeconds: number;
}

/**
 * Adds a call, once for each wait.
 *
 * @returns false if its task has a deadline that a batch may miss: it was not added
 */
export async function addBatchCall(
  db: Db,
  { token, model, request, collectSeconds }: NewBatchCall,
): Promise<boolean> {
  const sealed = await sealForWait(db, token, 'request', request);
  const { rows } = await sql<{ fits: boolean }>`
    with call as (
      select s.task_id, s.turn, t.agent_hash,
        coalesce(g.deadline_at > now() + ${seconds(targetSeconds + collectSeconds)}, true)
          or exists (select from batch_calls c where c.token = s.token) as fits
      from steps s join gates g on g.task_id = s.task_id and g.turn = s.turn and ${isRunnable}
        join tasks t on t.id = s.task_id
      where s.token = ${token} and s.finished_at is null
    ),
    added as (
      insert into batch_calls (id, token, task_id, turn, agent_hash, model, due_at, request, bytes)
      select ${uuidv7()}::uuid, ${token}::text, task_id, turn, agent_hash, ${model}::text,
        now() + ${seconds(collectSeconds)}, ${sealed}::json, ${Buffer.byteLength(request)}::int
      from call where fits
      on conflict (token) do nothing
    )
    select fits from call`.execute(db);
  // A turn that is over finds out by its lease.
  return rows[0]?.fits ?? true;
}

/** A call as its turn sees it. */
export interface BatchCallState {
  /** JSON of the response or the error; null while it waits. */
  result: unknown;
  /** Since it was added. */
  ageMs: number;
}

/** @returns undefined if there is no call of this wait */
export async function readBatchCall(db: Db, token: string): Promise<BatchCallState | undefined> {
  const { rows } = await sql<BatchCallState & { taskId: string }>`
    select task_id as "taskId", result, extract(epoch from coalesce(ended_at, now()) - queued_at)::float8 * 1000 as "ageMs"
    from batch_calls where token = ${token}`.execute(db);
  const [call] = rows;
  if (call === undefined) return undefined;
  return { result: await openJson('reply', call.taskId, call.result), ageMs: call.ageMs };
}

/** A call of a batch that has not ended. */
export interface OpenBatchCall {
  id: string;
  request: JsonObject;
}

/** Returns the calls of a batch that a turn waits for, oldest first. Those that cannot be decrypted are left out. */
export async function readBatchRequests(db: Db, batchId: string): Promise<OpenBatchCall[]> {
  const { rows } = await sql<OpenBatchCall & { taskId: string }>`
    select c.id, c.task_id as "taskId", c.request from batch_calls c
      join gates g on g.task_id = c.task_id and g.turn = c.turn and ${isRunnable}
    where c.batch_id = ${batchId} and c.ended_at is null
    order by c.queued_at, c.id`.execute(db);
  return (await Promise.all(rows.map(openRequest))).filter((call) => call !== undefined);
}

/** @returns undefined if its key was destroyed, or it was altered: the calls of other tasks do not wait for it */
async function openRequest(call: OpenBatchCall & { taskId: string }): Promise<OpenBatchCall | undefined> {
  try {
    return { id: call.id, request: await openJson('request', call.taskId, call.request) };
  } catch (error) {
    if (error instanceof DecryptionError) return undefined;
    throw error;
  }
}

/** Returns the ids of all calls of a batch that have not ended. */
export async function listOpenCalls(db: Db, batchId: string): Promise<string[]> {
  const open = db.selectFrom('batch_calls').select('id').where('batch_id', '=', batchId);
  return (await open.where('ended_at', 'is', null).orderBy('queued_at').orderBy('id').execute()).map(
    ({ id }) => id,
  );
}
