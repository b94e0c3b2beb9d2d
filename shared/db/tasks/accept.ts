/**
 * Accepting a message that begins a task (invariant 1): the task, its gate, its first event, the message, its webhook
 * config and the wakeups, in one statement for a whole set of simultaneous sends.
 */
import { sql } from 'kysely';
import { toWakeups, freshClaim, type WakeupColumns } from '../outbox/outbox.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';

export interface WebhookRow {
  id: string;
  url: string;
  /** Sealed; see encrypt.ts. */
  token: string | null;
  authScheme: string | null;
  authCredentials: string | null;
  events: 'all' | 'state' | 'end';
  protocolVersion: string;
  /** Signs the webhooks of this config; encrypted. */
  signingSecret: string | null;
  /** False: an event does not wait for those before it. */
  ordered: boolean;
}

export interface NewTask {
  taskId: string;
  tenant: string;
  owner: string;
  contextId: string;
  agentHash: string;
  messageId: string;
  requestHash: string;
  /** JSON of the message, of the request's metadata, of the accepted output modes, and of the first event's payload. */
  message: string;
  metadata: string | null;
  acceptedOutputModes: string | null;
  event: string;
  /** The timestamp in the first event. */
  statusAt: string;
  /** False while only a waiting send knows of the task: a direct answer may then take its place. */
  shown: boolean;
  /** Not before, and overdue after; ISO 8601. */
  startAt: string | null;
  deadlineAt: string | null;
  traceparent: string | null;
  webhook: WebhookRow | null;
}

export interface AcceptOptions {
  /** For how long a repeat of a message finds the task of the first; 0: never. */
  idempotencyWindowSeconds: number;
  wakeupGraceSeconds: number;
}

/** The wakeups to ring, or undefined where this message has been sent before. */
export type Accept = (task: NewTask) => Promise<Wakeup[] | undefined>;

export function createAccept(db: Db, options: AcceptOptions): Accept {
  return createBatcher((tasks: readonly NewTask[]) => accept(db, options, tasks), {
    max: 256,
    lanes: 2,
    key: (task) => JSON.stringify([task.tenant, task.owner, task.messageId]),
  });
}

async function accept(
  db: Db,
  options: AcceptOptions,
  tasks: readonly NewTask[],
): Promise<(Wakeup[] | undefined)[]> {
  const column = <K extends keyof NewTask>(name: K) => tasks.map((task) => task[name]);
  const hooked = tasks.filter((task) => task.webhook !== null);
  const grace = sql`${options.wakeupGraceSeconds} * interval '1 second'`;
  const window = options.idempotencyWindowSeconds;
  const { rows } = await sql<{ task_id: string } & WakeupColumns>`-- prepared
    with input as (
      select * from unnest(
        ${column('taskId')}::uuid[], ${column('tenant')}::text[], ${column('owner')}::text[],
        ${column('contextId')}::text[], ${column('agentHash')}::text[], ${column('messageId')}::text[],
        ${column('requestHash')}::text[], ${column('message')}::json[], ${column('metadata')}::json[],
        ${column('acceptedOutputModes')}::json[], ${column('event')}::json[], ${column('statusAt')}::timestamptz[],
        ${column('shown')}::boolean[], ${column('traceparent')}::text[],
        ${column('startAt')}::timestamptz[], ${column('deadlineAt')}::timestamptz[]
      ) as input (
        task_id, tenant, owner, context_id, agent_hash, message_id, request_hash, message, metadata, modes, event,
        status_at, shown, traceparent, start_at, deadline_at
      )
    ),
    send as (
      insert into sends (tenant, owner, message_id, request_hash, task_id, turn, expires_at)
      select tenant, owner, message_id, request_hash, task_id, 1, now() + ${window} * interval '1 second'
      from input where ${window} > 0
      on conflict (tenant, owner, message_id) do update
        set request_hash = excluded.request_hash, task_id = excluded.task_id, turn = 1,
          expires_at = excluded.expires_at
        where sends.expires_at < now()
      returning task_id
    ),
    fresh as (
      select * from input where ${window} = 0 or task_id in (select task_id from send)
    ),
    gate as (
      insert into gates (task_id, last_event, config_rev, run_at, wakeup_at, deadline_at)
      select task_id, 1, (task_id = any(${hooked.map((task) => task.taskId)}::uuid[]))::int, coalesce(start_at, now()),
        greatest(start_at, now() + ${grace}), deadline_at
      from fresh
    ),
    task as (
      insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, metadata, shown, traceparent)
      select task_id, tenant, owner, context_id, agent_hash, 'TASK_STATE_SUBMITTED', status_at, metadata, shown,
        traceparent
      from fresh
    ),
    message as (
      insert into messages (task_id, turn, role, message, accepted_output_modes)
      select task_id, 1, 'user', message, modes from fresh
    ),
    event as (
      insert into events (task_id, seq, kind, payload, traceparent)
      select task_id, 1, 'state', event, traceparent from fresh
    ),
    ${hooked.length === 0 ? sql`` : hooksOf(hooked, options)}
    wakeup as (
      insert into outbox (kind, task_id, turn, config_id, claimed_until, traceparent)
      select 'turn', task_id, 1, null, now() + ${freshClaim}, traceparent from fresh
      where start_at is null or start_at <= now()
      ${hooked.length === 0 ? sql`` : webhookWakeups}
      returning id, kind, task_id, config_id
    )
    select fresh.task_id, max(wakeup.id) filter (where kind = 'turn') as wakeup_id,
      json_agg(json_build_object('id', wakeup.id::text, 'config_id', config_id)) filter (where kind = 'delivery')
        as delivery_wakeups
    from fresh left join wakeup on wakeup.task_id = fresh.task_id group by fresh.task_id`.execute(db);
  const accepted = new Map(rows.map((row) => [row.task_id, row]));
  return tasks.map((task) => {
    const row = accepted.get(task.taskId);
    return row === undefined ? undefined : toWakeups(row, task.taskId, 1, task.traceparent);
  });
}

/**
 * The webhook configs of a set, and their deliveries. Left out of the statement where no task has one, since to set them
 * up takes 8% of its time: such sets are most.
 */
function hooksOf(tasks: readonly NewTask[], { wakeupGraceSeconds }: AcceptOptions) {
  const column = <K extends keyof WebhookRow>(name: K) => tasks.map((task) => task.webhook?.[name] ?? null);
  return sql`
    hook as (
      insert into webhook_configs
        (task_id, id, tenant, owner, url, token, auth_scheme, auth_credentials, events, protocol_version,
        signing_secret, ordered)
      select fresh.task_id, given.id, tenant, owner, url, token, auth_scheme, auth_credentials, events,
        protocol_version, signing_secret, ordered
      from unnest(
        ${tasks.map((task) => task.taskId)}::uuid[], ${column('id')}::text[], ${column('url')}::text[],
        ${column('token')}::text[], ${column('authScheme')}::text[], ${column('authCredentials')}::text[],
        ${column('events')}::text[], ${column('protocolVersion')}::text[], ${column('signingSecret')}::text[],
        ${column('ordered')}::boolean[]
      ) as given (
        task_id, id, url, token, auth_scheme, auth_credentials, events, protocol_version, signing_secret, ordered
      )
      join fresh on fresh.task_id = given.task_id
      returning task_id, id, events
    ),
    delivery as (
      insert into deliveries (task_id, config_id, seq, wakeup_at)
      select task_id, id, 1, now() + ${wakeupGraceSeconds} * interval '1 second' from hook
      where events in ('all', 'state')
      returning task_id, config_id
    ),`;
}

const webhookWakeups = sql`
      union all
      select 'delivery', task_id, null, config_id, now() + ${freshClaim}, null from delivery`;
