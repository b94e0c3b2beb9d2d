/**
 * Accepts messages that start tasks (invariant 1): task, gate, first event, message, webhook config and
 * wake-ups, in one statement for all sends that arrive at the same time.
 */
import { sql, type RawBuilder } from 'kysely';
import type { Wakeup } from '../../domain/wakeup.ts';
import type { JsonText } from '../../runtime/json-bytes.ts';
import { largeWork, minLargeBytes } from '../../runtime/large-work.ts';
import { createBatcher } from '../client/batcher.ts';
import { runLargeStatement } from '../client/large-statements.ts';
import { seconds } from '../client/fragments.ts';
import { areContentsEncrypted, createSealer } from '../contents/codec.ts';
import type { Db } from '../client/pool.ts';
import { notifyDispatchers } from '../events/fan-out.ts';
import {
  bigint,
  boolean,
  int,
  json,
  largeRow,
  rows,
  text,
  timestamp,
  uuid,
  type Column,
} from '../client/rows.ts';
import {
  delayTurns,
  insertOutbox,
  soonSeconds,
  toWakeups,
  wakeupColumns,
  type WakeupColumns,
} from '../outbox/outbox.ts';
import { createRepeatGuard, insertAllSends, insertNewSends } from './accept/repeats.ts';
import { insertWebhooks, type WebhookRow } from './accept/webhooks.ts';
import { toContextKey } from './context-key.ts';

export type { WebhookRow } from './accept/webhooks.ts';

export interface NewTask {
  taskId: string;
  tenant: string;
  owner: string;
  contextId: string;
  /** The context is new with this task, so the task has no history. Default: not known. */
  opensContext?: boolean;
  agentHash: string;
  messageId: string;
  requestHash: string;
  /**
   * JSON of the message, the request's metadata, the accepted output modes, and the first event's payload.
   */
  message: JsonText;
  metadata: string | null;
  acceptedOutputModes: string | null;
  event: string;
  /** The size of the stored content, as UTF-8; see `countTaskBytes`. */
  bytes: number;
  /** The timestamp in the first event. */
  statusAt: string;
  /** False while only a blocking send knows the task: a direct answer may then replace it. */
  shown: boolean;
  /** When the task may start, and when it expires; ISO 8601. */
  startAt: string | null;
  deadlineAt: string | null;
  /** The order among queued turns of the owner: higher first. */
  priority: number;
  traceparent: string | null;
  webhook: WebhookRow | null;
}

export interface AcceptOptions {
  /** How long a repeated message finds the task of the first one; 0: never. */
  idempotencyWindowSeconds: number;
  wakeupGraceSeconds: number;
}

/** Maximum size of the messages of a set. */
const maxSetBytes = 512 * 1024;

/** Resolves to the wake-ups to publish, or to undefined if this message was already sent. */
export type Accept = (task: NewTask) => Promise<Wakeup[] | undefined>;

export function createAccept(db: Db, options: AcceptOptions): Accept {
  const withoutRepeats = createRepeatGuard();
  const store = (tasks: readonly NewTask[]) => withoutRepeats((look) => storeTasks(db, options, tasks, look));
  const key = (task: NewTask): string => JSON.stringify([task.tenant, task.owner, task.messageId]);
  const storeSmall = async (tasks: readonly NewTask[]) => store(await sealTasks(tasks));
  const acceptSmall = createBatcher(storeSmall, {
    max: 256,
    lanes: 2,
    key,
    size: getSize,
    maxSize: maxSetBytes,
  });
  const acceptLarge: Accept = async (task) => {
    if (areContentsEncrypted()) await largeWork.start(task.owner);
    const sealed = await sealTasks([task]);
    const [wakeups] = await runLargeStatement(task.owner, () => store(sealed));
    return wakeups;
  };
  return (task) => (isLarge(task) ? acceptLarge(task) : acceptSmall(task));
}

function isLarge(task: NewTask): boolean {
  return getSize(task) >= minLargeBytes;
}

function getSize({ message, metadata }: NewTask): number {
  return message.length + (metadata?.length ?? 0);
}

/** Accepts a set in one statement, which never fails because of a repeat; `createAccept` gathers sets. */
export async function acceptTasks(
  db: Db,
  options: AcceptOptions,
  tasks: readonly NewTask[],
): Promise<(Wakeup[] | undefined)[]> {
  return storeTasks(db, options, await sealTasks(tasks), true);
}

/** @param look whether to look for repeats; without it, a repeat fails the statement */
async function storeTasks(
  db: Db,
  options: AcceptOptions,
  tasks: readonly NewTask[],
  look: boolean,
): Promise<(Wakeup[] | undefined)[]> {
  const large = getLarge(tasks);
  const webhooks = tasks.flatMap(({ taskId, webhook }) => (webhook === null ? [] : [{ ...webhook, taskId }]));
  const hasWebhooks = webhooks.length > 0;
  const taskIdsWithWebhook = webhooks.map(({ taskId }) => taskId);
  const turnRows = {
    kind: 'turn',
    from: sql`fresh where start_at is null or start_at <= now() + ${seconds(soonSeconds)}`,
    publishAt: sql`greatest(start_at, now())`,
    turn: sql`1`,
    traceparent: sql`traceparent`,
  } as const;
  const deliveryRows = {
    kind: 'delivery',
    from: sql`delivery join fresh using (task_id)`,
    owner: sql`owner`,
  } as const;
  const result = await sql<{ task_id: string } & WakeupColumns>`-- prepared
    with ${freshRows(large === undefined ? selectTasks(tasks) : largeRow(large, headColumns), options.idempotencyWindowSeconds, look)},
    -- config_rev is 1 if the task has a webhook config.
    ${insertTasks(options, sql`(task_id = any(${taskIdsWithWebhook}::uuid[]))::int`, sql`null`, large && sql`${large.message}::json`)},
    ${hasWebhooks ? insertWebhooks(webhooks, options) : sql``}
    -- A task that starts later than soon gets no wake-up now: the reconciler wakes it when it is due.
    wakeup as (
      ${hasWebhooks ? insertOutbox(turnRows, deliveryRows) : insertOutbox(turnRows)}
      returning id, kind, task_id, config_id, owner
    )
    ${hasWebhooks ? selectWakeups : selectTurnWakeups}`.execute(db);
  const accepted = new Map(result.rows.map((row) => [row.task_id, row]));
  return tasks.map((task) => {
    const row = accepted.get(task.taskId);
    if (row === undefined) return undefined;
    const wakeups = toWakeups(row, task.taskId, 1, task.traceparent);
    return task.startAt === null ? wakeups : delayTurns(wakeups, new Date(task.startAt));
  });
}

/** Encrypts the contents of tasks if contents are encrypted. The first event has none. */
export async function sealTasks(tasks: readonly NewTask[]): Promise<readonly NewTask[]> {
  if (!areContentsEncrypted()) return tasks;
  const sealer = await createSealer(tasks);
  return tasks.map((task) => ({
    ...task,
    message: sealer.json('message', task.taskId, task.message),
    metadata: sealer.json('metadata', task.taskId, task.metadata),
  }));
}

const selectWakeups = sql`
    select fresh.task_id, ${wakeupColumns}, ${notifyDispatchers}
    from fresh left join wakeup on wakeup.task_id = fresh.task_id group by fresh.task_id`;

/** Without webhooks, a task has at most one wake-up. */
const selectTurnWakeups = sql`
    select fresh.task_id, wakeup.id as wakeup_id, wakeup.owner as wakeup_owner, null as delivery_wakeups
    from fresh left join wakeup on wakeup.task_id = fresh.task_id`;

/**
 * Stores the tasks of a CTE `fresh`, which has the columns of `inputRows`.
 *
 * @param configRev the first `config_rev` of each gate
 * @param group the group of which the tasks are children
 * @param message of the only task, if it is large: each part of the statement would copy that of `fresh`. Default: that one
 */
export function insertTasks(
  { wakeupGraceSeconds }: Pick<AcceptOptions, 'wakeupGraceSeconds'>,
  configRev: RawBuilder<unknown>,
  group: RawBuilder<unknown>,
  message: RawBuilder<unknown> = sql`message`,
): RawBuilder<unknown> {
  return sql`
    gate as (
      insert into gates (task_id, last_event, priority, config_rev, run_at, wakeup_at, deadline_at, bytes)
      select task_id, 1, priority, ${configRev}, coalesce(start_at, now()),
        case when start_at > now() + ${seconds(soonSeconds)} then start_at
          else greatest(start_at, now()) + ${seconds(wakeupGraceSeconds)} end, deadline_at, bytes
      from fresh
    ),
    task as (
      insert into tasks (id, tenant, owner, context_id, opens_context, agent_hash, state, status_at, metadata, shown,
        traceparent, child_group)
      select task_id, tenant, owner, context_id, opens_context, agent_hash, 'TASK_STATE_SUBMITTED', status_at, metadata,
        shown, traceparent, ${group}::uuid
      from fresh
    ),
    message as (
      insert into messages (task_id, turn, role, message, accepted_output_modes, context_key)
      select task_id, 1, 'user', ${message}, modes, context_key from fresh
    ),
    event as (
      insert into events (task_id, seq, kind, payload, traceparent)
      select task_id, 1, 'state', event, traceparent from fresh
    )`;
}

/** The columns of a task without its message. */
const headColumns: Record<string, Column<NewTask>> = {
  task_id: uuid((task) => task.taskId),
  tenant: text((task) => task.tenant),
  owner: text((task) => task.owner),
  context_id: text((task) => task.contextId),
  context_key: uuid(toContextKey),
  opens_context: boolean((task) => task.opensContext ?? false),
  agent_hash: text((task) => task.agentHash),
  message_id: text((task) => task.messageId),
  request_hash: text((task) => task.requestHash),
  metadata: json((task) => task.metadata),
  modes: json((task) => task.acceptedOutputModes),
  event: json((task) => task.event),
  status_at: timestamp((task) => task.statusAt),
  shown: boolean((task) => task.shown),
  traceparent: text((task) => task.traceparent),
  start_at: timestamp((task) => task.startAt),
  deadline_at: timestamp((task) => task.deadlineAt),
  bytes: bigint((task) => task.bytes),
  priority: int((task) => task.priority),
};

const inputColumns = { ...headColumns, message: json((task: NewTask) => task.message.toString()) };

/** The tasks as the CTE `input`. */
export function inputRows(tasks: readonly NewTask[]): RawBuilder<unknown> {
  return sql`input as (${selectTasks(tasks)})`;
}

function selectTasks(tasks: readonly NewTask[]): RawBuilder<unknown> {
  return rows('input', tasks, inputColumns);
}

/** Returns the only task, if it is large. */
function getLarge([task, ...others]: readonly NewTask[]): NewTask | undefined {
  return task !== undefined && others.length === 0 && isLarge(task) ? task : undefined;
}

/** The CTE `fresh`: the tasks to store. Each message is recorded, so that its repeats are found. */
function freshRows(selected: RawBuilder<unknown>, windowSeconds: number, look: boolean): RawBuilder<unknown> {
  if (windowSeconds > 0 && look) return sql`input as (${selected}), ${insertNewSends(windowSeconds)}`;
  const fresh = sql`fresh as (${selected})`;
  return windowSeconds > 0 ? sql`${fresh}, ${insertAllSends(windowSeconds)}` : fresh;
}
