/**
 * The webhook configs of all tasks of a caller (invariant 9), the worst health first and then the newest tasks. Health
 * is in an index. A host is checked on the configs that a page examines, and the next page continues after the last one
 * of them, as in tasks/search.ts.
 */
import { sql } from 'kysely';
import type { Db } from '../client/pool.ts';
import { rows as toRows, text, uuid } from '../client/rows.ts';
import { visibleTo, type Caller } from '../tasks/visibility.ts';
import { toConfigText } from './attempts/claim.ts';
import type { ConfigKey } from './attempts/claim-rows.ts';
import { selectLastAttempt } from './attempts/log.ts';
import { isPending } from './pending.ts';
import { toWebhook, type ConfigRow, type StoredWebhook } from './configs.ts';
import { hasFailedSince, openAttempt, type AttemptView } from './deliveries.ts';

/** In the order of the index. `failing`: the last attempt failed, and another one is planned. */
export const webhookHealths = ['ok', 'failing', 'disabled'] as const;
export type WebhookHealth = (typeof webhookHealths)[number];

/** Configs that one page examines if a host is searched for. */
const maxExamined = 1_000;

/** The expression of the index. */
const rank = sql`(case when c.disabled_at is not null then 2 when c.failures > 0 then 1 else 0 end)`;

export interface WebhookFilter {
  /** A range of `webhookHealths`: the first and the last one. */
  health: readonly [WebhookHealth, WebhookHealth];
  /** Host of the receiver, with its port unless that is the one of the protocol. */
  host?: string | undefined;
  /** Only those of this task. */
  taskId?: string | undefined;
}

export interface OwnWebhook extends StoredWebhook {
  taskId: string;
  health: WebhookHealth;
  /** The last attempt at its newest event; null if there was none. */
  lastAttempt: (AttemptView & { event: number }) | null;
}

/** The config after which a page starts. */
export interface WebhookPlace {
  health: number;
  taskId: string;
  id: string;
}

type Row = ConfigRow & { rank: number; last_attempt: OwnWebhook['lastAttempt'] };
type Found = { [Column in keyof Row]: Row[Column] | null };

export async function listOwnWebhooks(
  db: Db,
  caller: Caller,
  { health: [from, to], host, taskId }: WebhookFilter,
  { size, after }: { size: number; after?: WebhookPlace | undefined },
): Promise<{ webhooks: OwnWebhook[]; next: WebhookPlace | undefined }> {
  const examine = host === undefined ? size + 1 : maxExamined;
  const isAfter =
    after === undefined
      ? sql``
      : sql`and (${rank}, c.task_id, c.id) < (${after.health}::int, ${after.taskId}::uuid, ${after.id}::text)`;
  const { rows } = await sql<
    Found & { examined: number; last_rank: number; last_task: string; last_id: string }
  >`
    with examined as materialized (
      select c.task_id, c.id, ${rank} as rank from webhook_configs c
      where c.owner = ${caller.owner} and c.tenant = ${caller.tenant}
        and ${rank} between ${webhookHealths.indexOf(from)}::int and ${webhookHealths.indexOf(to)}::int ${isAfter}
        ${taskId === undefined ? sql`` : sql`and c.task_id = ${taskId}`}
      order by ${rank} desc, c.task_id desc, c.id desc limit ${examine}
    )
    select last.*, found.*
    from (
      select (select count(*)::int from examined) as examined, rank as last_rank, task_id as last_task, id as last_id
      from examined order by rank, task_id, id limit 1
    ) last
    left join lateral (
      select c.*, e.rank,
        (
          select min(d.due_at) from deliveries d
          where d.task_id = c.task_id and d.config_id = c.id and ${isPending} and d.failures > 0
        ) as next_attempt_at,
        (
          select json_build_object('event', a.seq, 'attempt', a.attempt, 'startedAt', a.started_at,
            'durationMs', a.duration_ms, 'status', a.status, 'error', a.error, 'responseStart', a.response_start)
          from ${selectLastAttempt(sql`a.task_id = c.task_id and a.config_id = c.id and a.seq > 0`)} a
        ) as last_attempt
      from examined e
      join webhook_configs c on c.task_id = e.task_id and c.id = e.id
      join tasks t on t.id = c.task_id
      where ${visibleTo(caller)} ${host === undefined ? sql`` : sql`and ${receiverHost} = ${host}`}
      order by e.rank desc, e.task_id desc, e.id desc limit ${size + 1}
    ) found on true
    order by found.rank desc, found.task_id desc, found.id desc`.execute(db);
  const found = rows.flatMap((row) => (row.id === null ? [] : [row as Row]));
  const page = found.slice(0, size);
  return { webhooks: await Promise.all(page.map(toOwnWebhook)), next: findNext() };

  function findNext(): WebhookPlace | undefined {
    const [row] = rows;
    const last = page.at(-1);
    if (found.length > size && last !== undefined) {
      return { health: last.rank, taskId: last.task_id, id: last.id };
    }
    if (row === undefined || row.examined < examine) return undefined;
    return { health: row.last_rank, taskId: row.last_task, id: row.last_id };
  }
}

/** The host in the URL of a config `c`, which is normalised. */
const receiverHost = sql`substring(c.url from '^[a-z]+://([^/?#]+)')`;

async function toOwnWebhook(row: Row): Promise<OwnWebhook> {
  return {
    ...toWebhook(row),
    taskId: row.task_id,
    health: webhookHealths[row.rank] ?? 'ok',
    lastAttempt: row.last_attempt && (await openAttempt(row.task_id, row.last_attempt)),
  };
}

/**
 * Counts what a redelivery would send.
 *
 * @returns by `toConfigText`, for the configs that exist and are the caller's
 */
export async function countRedeliveries(
  db: Db,
  caller: Caller,
  keys: readonly ConfigKey[],
  since: Date,
): Promise<Map<string, number>> {
  const input = toRows('input', keys, {
    task_id: uuid(({ taskId }) => taskId),
    config_id: text(({ configId }) => configId),
  });
  const { rows } = await sql<{ task_id: string; id: string; count: number }>`
    select c.task_id, c.id, (
      select count(*)::int from deliveries d
      where d.task_id = c.task_id and d.config_id = c.id and ${hasFailedSince(since)}
    ) as count
    from (${input}) input
    join webhook_configs c on c.task_id = input.task_id and c.id = input.config_id
    join tasks t on t.id = c.task_id
    where ${visibleTo(caller)}`.execute(db);
  return new Map(
    rows.map(({ task_id: taskId, id, count }) => [toConfigText({ taskId, configId: id }), count]),
  );
}
