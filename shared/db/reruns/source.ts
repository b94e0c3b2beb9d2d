/** Reads what a new task needs to do the work of another one of the caller again (invariant 9). */
import { sql } from 'kysely';
import type { JsonObject, Message } from '../../domain/message.ts';
import type { TaskState } from '../../domain/task.ts';
import type { Db } from '../client/pool.ts';
import { openJson } from '../contents/codec.ts';
import type { WebhookRow } from '../tasks/accept.ts';
import { visibleTo, type Caller } from '../tasks/visibility.ts';

/** Returns the states of those tasks that the caller sees, by id. Every id must be a UUID. */
export async function readTaskStates(
  db: Db,
  caller: Caller,
  taskIds: readonly string[],
): Promise<Map<string, TaskState>> {
  const { rows } = await sql<{ id: string; state: TaskState }>`
    select t.id, t.state from tasks t where t.id = any(${taskIds}::uuid[]) and ${visibleTo(caller)}`.execute(
    db,
  );
  return new Map(rows.map(({ id, state }) => [id, state]));
}

/** The request that started a task. */
export interface RerunSource {
  contextId: string;
  /** The first message, with the ids of its task and context. */
  message: Message;
  metadata: JsonObject | null;
  acceptedOutputModes: string[] | null;
  /** The oldest webhook that is not disabled, with encrypted secrets. */
  webhook: WebhookRow | null;
}

/** @returns undefined if the task was removed */
export async function readRerunSource(db: Db, taskId: string): Promise<RerunSource | undefined> {
  const { rows } = await sql<Omit<RerunSource, 'webhook'>>`
    select t.context_id as "contextId", m.message, t.metadata, m.accepted_output_modes as "acceptedOutputModes"
    from tasks t join messages m on m.task_id = t.id and m.turn = 1 and m.role = 'user'
    where t.id = ${taskId}`.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const webhook = await db
    .selectFrom('webhook_configs')
    .select([
      'id',
      'url',
      'token',
      'auth_scheme as authScheme',
      'auth_credentials as authCredentials',
      'events',
      'protocol_version as protocolVersion',
      'signing_secret as signingSecret',
      'ordered',
    ])
    .where('task_id', '=', taskId)
    .where('disabled_at', 'is', null)
    .orderBy('created_at')
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  return {
    ...row,
    message: await openJson('message', taskId, row.message),
    metadata: await openJson('metadata', taskId, row.metadata),
    webhook: webhook ?? null,
  };
}
