/**
 * The webhook configs of a task, for its owner (invariant 9). A change begins at the gate and raises its `config_rev`
 * (invariant 3): a statement that makes events at the same moment has either committed before, and what it made is
 * seen here, or finds the gate changed and tries again with the configs as they are then.
 *
 * Secrets come and go encrypted; see ../webhooks/secrets.ts.
 */
import { sql, type Transaction } from 'kysely';
import { stateClass, type StateClass } from '../../domain/task.ts';
import type { WebhookRow } from '../tasks/accept.ts';
import { toWakeups, freshClaim, type WakeupColumns } from '../outbox/outbox.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import type { Db } from '../client/pool.ts';
import type { Database } from '../schema/schema.ts';
import type { Caller } from '../tasks/read.ts';

/** Configs of one task at most. */
export const maxWebhookConfigs = 20;

export interface StoredWebhook extends WebhookRow {
  createdAt: Date;
  /** Attempts in a row that have failed, and when the next is made. */
  failures: number;
  nextAttemptAt: Date;
  /** Why nothing is delivered any more; null: deliveries are made. */
  disabledReason: string | null;
  disabledAt: Date | null;
}

export type PutWebhook =
  | { kind: 'stored'; wakeups: Wakeup[] }
  /** The task is not the caller's, or is not at all. */
  | { kind: 'no task' }
  /** The task has as many configs as it may have; nothing was written. */
  | { kind: 'too many' };

class TooMany extends Error {}

/**
 * Makes a config, or replaces the one of this id on this task: what waits for delivery then goes to the new URL, at
 * once. A task at its end has no more events: a new config gets the last one, which carries the whole task.
 */
export async function putWebhookConfig(
  db: Db,
  options: { wakeupGraceSeconds: number },
  caller: Caller,
  taskId: string,
  webhook: WebhookRow,
): Promise<PutWebhook> {
  try {
    return await db.transaction().execute(async (trx): Promise<PutWebhook> => {
      const gate = await lockGate(trx, caller, taskId);
      if (gate === undefined) return { kind: 'no task' };
      const { rows: counts } = await sql<{ others: number; existed: boolean }>`
        select (count(*) filter (where id <> ${webhook.id}))::int as others, bool_or(id = ${webhook.id}) as existed
        from webhook_configs where task_id = ${taskId}`.execute(trx);
      const existed = counts[0]?.existed ?? false;
      if (!existed && (counts[0]?.others ?? 0) >= maxWebhookConfigs) throw new TooMany();
      await storeConfig(trx, caller, taskId, webhook, gate.config_rev);
      await forgetAttempts(trx, taskId, webhook.id);
      if (gate.state_class === stateClass.terminal) {
        await deliverLast(trx, taskId, webhook.id, gate.last_event, existed);
      }
      return { kind: 'stored', wakeups: await wakePendingDeliveries(trx, options, taskId, webhook.id) };
    });
  } catch (error) {
    if (error instanceof TooMany) return { kind: 'too many' };
    throw error;
  }
}

/** Takes the gate of a caller's task for a change of its configs. @returns undefined where there is no such task */
export async function lockGate(trx: Transaction<Database>, caller: Caller, taskId: string) {
  const { rows } = await sql<{ config_rev: number; last_event: number; state_class: StateClass }>`
    update gates g set config_rev = g.config_rev + 1
    from tasks t
    where g.task_id = ${taskId} and t.id = g.task_id and t.tenant = ${caller.tenant} and t.owner = ${caller.owner}
      and (t.shown or not t.direct)
    returning g.config_rev, g.last_event, g.state_class`.execute(trx);
  return rows[0];
}

async function storeConfig(
  trx: Transaction<Database>,
  caller: Caller,
  taskId: string,
  webhook: WebhookRow,
  configRev: number,
): Promise<void> {
  const given = {
    url: webhook.url,
    token: webhook.token,
    auth_scheme: webhook.authScheme,
    auth_credentials: webhook.authCredentials,
    events: webhook.events,
    protocol_version: webhook.protocolVersion,
    signing_secret: webhook.signingSecret,
    ordered: webhook.ordered,
  };
  await trx
    .insertInto('webhook_configs')
    .values({
      task_id: taskId,
      id: webhook.id,
      tenant: caller.tenant,
      owner: caller.owner,
      ...given,
      // Above every fence of a config of this id that was deleted, so that no attempt of that one counts for this one.
      fence: sql`${configRev}::bigint << 32`,
    })
    .onConflict((conflict) =>
      conflict.columns(['task_id', 'id']).doUpdateSet({
        ...given,
        previous_secret: null,
        // An attempt under way no longer counts: it went to the URL before.
        fence: sql`webhook_configs.fence + 1`,
        lease_until: null,
        failures: 0,
        next_attempt_at: sql`now()`,
        disabled_at: null,
        disabled_reason: null,
      }),
    )
    .execute();
}

/** What waits is tried at once; only configs that ask for speed count by delivery. */
async function forgetAttempts(trx: Transaction<Database>, taskId: string, configId: string): Promise<void> {
  await trx
    .updateTable('deliveries')
    .set({ failures: 0, lease_until: null, due_at: null })
    .where('task_id', '=', taskId)
    .where('config_id', '=', configId)
    .where('state', '=', 'pending')
    .execute();
}

async function deliverLast(
  trx: Transaction<Database>,
  taskId: string,
  configId: string,
  seq: number,
  existed: boolean,
): Promise<void> {
  await sql`
    insert into deliveries as d (task_id, config_id, seq, wakeup_at) values (${taskId}, ${configId}, ${seq}, now())
    on conflict (task_id, config_id, seq) do update set state = 'pending', settled_at = null
      where not (${existed} and d.state = 'delivered')`.execute(trx);
}

/** Rings for what waits for delivery to a config. */
export async function wakePendingDeliveries(
  trx: Transaction<Database>,
  options: { wakeupGraceSeconds: number },
  taskId: string,
  configId: string,
): Promise<Wakeup[]> {
  const { rows } = await sql<WakeupColumns>`
    with pending as (
      update deliveries set wakeup_at = now() + ${options.wakeupGraceSeconds} * interval '1 second'
      where task_id = ${taskId} and config_id = ${configId} and state = 'pending'
      returning seq
    ),
    wakeup as (
      insert into outbox (kind, task_id, config_id, claimed_until)
      select 'delivery', ${taskId}::uuid, ${configId}::text, now() + ${freshClaim} where exists (select from pending)
      returning id, config_id
    )
    select null as wakeup_id, json_agg(json_build_object('id', id::text, 'config_id', config_id)) as delivery_wakeups
    from wakeup`.execute(trx);
  return rows[0] === undefined ? [] : toWakeups(rows[0], taskId, 0, null);
}

/** Deletes a config and ends its deliveries: what waits is not sent, and an attempt under way is the last. */
export async function deleteWebhookConfig(
  db: Db,
  caller: Caller,
  taskId: string,
  configId: string,
): Promise<'deleted' | 'no config' | 'no task'> {
  return db.transaction().execute(async (trx) => {
    const gate = await lockGate(trx, caller, taskId);
    if (gate === undefined) return 'no task';
    const { numDeletedRows } = await trx
      .deleteFrom('webhook_configs')
      .where('task_id', '=', taskId)
      .where('id', '=', configId)
      .executeTakeFirstOrThrow();
    await trx
      .updateTable('deliveries')
      .set({ state: 'cancelled', settled_at: sql`now()` })
      .where('task_id', '=', taskId)
      .where('config_id', '=', configId)
      .where('state', '=', 'pending')
      .execute();
    return numDeletedRows === 0n ? 'no config' : 'deleted';
  });
}

/** @returns undefined where the task or the config is not the caller's, or is not at all */
export async function getWebhookConfig(
  db: Db,
  caller: Caller,
  taskId: string,
  configId: string,
): Promise<StoredWebhook | undefined> {
  const found = await selectConfigs(db, caller, taskId).where('c.id', '=', configId).executeTakeFirst();
  return found && toWebhook(found);
}

/**
 * A page of a task's configs, by id.
 *
 * @param page `after` is the id of the last config of the page before
 * @returns undefined where the task is not the caller's, or is not at all
 */
export async function listWebhookConfigs(
  db: Db,
  caller: Caller,
  taskId: string,
  page: { size: number; after?: string | undefined },
): Promise<{ configs: StoredWebhook[]; next: string | undefined } | undefined> {
  const found = await selectConfigs(db, caller, taskId)
    .where('c.id', '>', page.after ?? '')
    .orderBy('c.id')
    .limit(page.size + 1)
    .execute();
  if (found.length === 0 && !(await isTaskOf(db, caller, taskId))) return undefined;
  const configs = found.slice(0, page.size).map(toWebhook);
  return { configs, next: found.length > page.size ? configs.at(-1)?.id : undefined };
}

function selectConfigs(db: Db, caller: Caller, taskId: string) {
  return db
    .selectFrom('webhook_configs as c')
    .innerJoin('tasks as t', 't.id', 'c.task_id')
    .selectAll('c')
    .where('t.id', '=', taskId)
    .where('t.tenant', '=', caller.tenant)
    .where('t.owner', '=', caller.owner)
    .where((where) => where.or([where('t.shown', '=', true), where('t.direct', '=', false)]));
}

export async function isConfigOf(db: Db, caller: Caller, taskId: string, configId: string): Promise<boolean> {
  const found = await selectConfigs(db, caller, taskId).where('c.id', '=', configId).executeTakeFirst();
  return found !== undefined;
}

async function isTaskOf(db: Db, caller: Caller, taskId: string): Promise<boolean> {
  const task = await db
    .selectFrom('tasks')
    .select('id')
    .where('id', '=', taskId)
    .where('tenant', '=', caller.tenant)
    .where('owner', '=', caller.owner)
    .where((where) => where.or([where('shown', '=', true), where('direct', '=', false)]))
    .executeTakeFirst();
  return task !== undefined;
}

type ConfigRow = Awaited<ReturnType<ReturnType<typeof selectConfigs>['executeTakeFirstOrThrow']>>;

function toWebhook(row: ConfigRow): StoredWebhook {
  return {
    id: row.id,
    url: row.url,
    token: row.token,
    authScheme: row.auth_scheme,
    authCredentials: row.auth_credentials,
    events: row.events,
    protocolVersion: row.protocol_version,
    signingSecret: row.signing_secret,
    ordered: row.ordered,
    createdAt: row.created_at,
    failures: row.failures,
    nextAttemptAt: row.next_attempt_at,
    disabledAt: row.disabled_at,
    disabledReason: row.disabled_reason,
  };
}
