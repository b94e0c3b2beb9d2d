/**
 * The webhook configs of a task, for its owner (invariant 9). A change starts at the gate and raises its
 * `config_rev` (invariant 3). A statement that creates events at the same time either commits first, so that
 * the change sees its deliveries, or finds the gate changed and runs again with the new configs.
 *
 * Secrets are passed and returned encrypted; see shared/webhooks/secrets.ts.
 */
import { sql, type RawBuilder, type Transaction } from 'kysely';
import { stateClass, type StateClass } from '../../domain/task.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { runTransaction } from '../client/transaction.ts';
import { notifyDispatchers } from '../events/fan-out.ts';
import { insertOutbox, toWakeups, wakeupColumns, type WakeupColumns } from '../outbox/outbox.ts';
import type { Database } from '../schema/schema.ts';
import type { WebhookRow } from '../tasks/accept.ts';
import { visibleTo, type Caller } from '../tasks/visibility.ts';
import type { ConfigKey } from './attempts/claim-rows.ts';
import { moveAttempts, restarted } from './attempts/log.ts';
import { isPending } from './pending.ts';
import { takeWebhookRequest } from './requests.ts';

/** A task has at most this many configs. */
export const maxWebhookConfigs = 20;

export interface StoredWebhook extends WebhookRow {
  createdAt: Date;
  /** Number of consecutive failed attempts. */
  failures: number;
  /** When the next retry is due, or null if no delivery waits for one. */
  nextAttemptAt: Date | null;
  /** Why the config is disabled, or null if it is active. */
  disabledReason: string | null;
  disabledAt: Date | null;
}

/** Options for calls that may cause webhooks. */
export interface WebhookCallOptions {
  wakeupGraceSeconds: number;
  /** For each owner; 0: no limit. */
  webhookRequestsPerMinute: number;
}

export type PutWebhook =
  /** `created`: it replaced no other config. */
  | { kind: 'stored'; created: boolean; wakeups: Wakeup[] }
  /** The task does not exist or is not the caller's. */
  | { kind: 'task_not_found' }
  /** The task already has `maxWebhookConfigs` configs; nothing was stored. */
  | { kind: 'too_many' };

/**
 * Creates a config, or replaces the config of this id on this task. After a replacement, pending deliveries
 * go to the new URL at once, and attempts in flight no longer count. If the task has ended, a new config gets
 * its last event, which carries the whole task.
 *
 * @throws {TooManyWebhookRequestsError} if that causes more webhooks than the owner may request
 */
export async function putWebhookConfig(
  db: Db,
  options: WebhookCallOptions,
  caller: Caller,
  taskId: string,
  webhook: WebhookRow,
): Promise<PutWebhook> {
  const key = { taskId, configId: webhook.id };
  return runTransaction(db, async (trx): Promise<PutWebhook> => {
    const gate = await lockGate(trx, caller, taskId);
    if (gate === undefined) return { kind: 'task_not_found' };
    const ids = await trx.selectFrom('webhook_configs').select('id').where('task_id', '=', taskId).execute();
    const existed = ids.some(({ id }) => id === webhook.id);
    if (!existed && ids.length >= maxWebhookConfigs) return { kind: 'too_many' };
    await storeConfig(trx, caller, taskId, webhook);
    if (gate.state_class === stateClass.terminal) await deliverLast(trx, key, gate.last_event, existed);
    await restartPending(trx, key);
    const wakeups = await wakePendingDeliveries(trx, options, key);
    if (wakeups.length > 0) await takeWebhookRequest(trx, caller.owner, options.webhookRequestsPerMinute);
    return { kind: 'stored', created: !existed, wakeups };
  });
}

/**
 * Locks the gate of a caller's task, so that its configs may be changed.
 *
 * @returns undefined if the task does not exist or is not the caller's
 */
export async function lockGate(trx: Transaction<Database>, caller: Caller, taskId: string) {
  const { rows } = await sql<{ last_event: number; state_class: StateClass }>`
    update gates g set config_rev = g.config_rev + 1
    from tasks t
    where g.task_id = ${taskId} and t.id = g.task_id and ${visibleTo(caller)}
    returning g.last_event, g.state_class`.execute(trx);
  return rows[0];
}

/** Stores a config of a task, or of a schedule under its key. */
export async function storeConfig(
  trx: Transaction<Database>,
  caller: Caller,
  taskId: string,
  webhook: WebhookRow,
): Promise<void> {
  const settings = {
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
    .values({ task_id: taskId, id: webhook.id, tenant: caller.tenant, owner: caller.owner, ...settings })
    .onConflict((conflict) =>
      conflict.columns(['task_id', 'id']).doUpdateSet({
        ...settings,
        previous_secret: null,
        failures: 0,
        disabled_at: null,
        disabled_reason: null,
      }),
    )
    .execute();
}

/** Schedules the last event for delivery, unless the replaced config has delivered it. */
async function deliverLast(
  trx: Transaction<Database>,
  { taskId, configId }: ConfigKey,
  seq: number,
  existed: boolean,
): Promise<void> {
  await sql`
    with ${moveAttempts(sql`d.task_id = ${taskId} and d.config_id = ${configId} and d.seq = ${seq} and not ${existed}`)}
    insert into deliveries as d (task_id, config_id, seq, wakeup_at) values (${taskId}, ${configId}, ${seq}, now())
    on conflict (task_id, config_id, seq) do update set ${restarted}
      where not (${existed} and d.state = 'delivered')`.execute(trx);
}

/** Invalidates attempts in flight, and makes all pending deliveries due with a fresh retry schedule. */
async function restartPending(trx: Transaction<Database>, { taskId, configId }: ConfigKey): Promise<void> {
  await sql`
    update deliveries d set fence = fence + 1, lease_until = null, failures = 0, due_at = now(),
      thin = false, deferred_reason = null
    where task_id = ${taskId} and config_id = ${configId} and ${isPending}`.execute(trx);
}

/**
 * Writes one wake-up for the pending deliveries of a config, if there are any.
 *
 * @param condition on `deliveries`; default: all
 */
export async function wakePendingDeliveries(
  trx: Transaction<Database>,
  options: { wakeupGraceSeconds: number },
  { taskId, configId }: ConfigKey,
  condition: RawBuilder<unknown> = sql`true`,
): Promise<Wakeup[]> {
  const { rows } = await sql<WakeupColumns>`
    with delivery as (
      update deliveries d set wakeup_at = now() + ${seconds(options.wakeupGraceSeconds)}
      where task_id = ${taskId} and config_id = ${configId} and ${isPending} and ${condition}
      returning task_id, config_id
    ),
    wakeup as (
      ${insertOutbox({ kind: 'delivery', from: sql`(select distinct task_id, config_id from delivery) delivery` })}
      returning id, kind, config_id, owner
    )
    select ${wakeupColumns}, ${notifyDispatchers} from wakeup`.execute(trx);
  return rows[0] === undefined ? [] : toWakeups(rows[0], taskId, 0, null);
}

/** Deletes a config and cancels its pending deliveries. Attempts in flight no longer count. */
export async function deleteWebhookConfig(
  db: Db,
  caller: Caller,
  taskId: string,
  configId: string,
): Promise<'deleted' | 'config_not_found' | 'task_not_found'> {
  return runTransaction(db, async (trx) => {
    const gate = await lockGate(trx, caller, taskId);
    if (gate === undefined) return 'task_not_found';
    const { numDeletedRows } = await trx
      .deleteFrom('webhook_configs')
      .where('task_id', '=', taskId)
      .where('id', '=', configId)
      .executeTakeFirstOrThrow();
    await sql`
      update deliveries d set state = 'cancelled', settled_at = now(), fence = fence + 1, lease_until = null
      where task_id = ${taskId} and config_id = ${configId} and ${isPending}`.execute(trx);
    return numDeletedRows === 0n ? 'config_not_found' : 'deleted';
  });
}

/** @returns undefined if the config does not exist or its task is not the caller's */
export async function getWebhookConfig(
  db: Db,
  caller: Caller,
  taskId: string,
  configId: string,
): Promise<StoredWebhook | undefined> {
  const row = await selectConfigs(db, caller, taskId).where('c.id', '=', configId).executeTakeFirst();
  return row && toWebhook(row);
}

/**
 * Returns a page of a task's configs, ordered by id.
 *
 * @param page `after` is the id of the last config of the page before
 * @returns undefined if the task does not exist or is not the caller's
 */
export async function listWebhookConfigs(
  db: Db,
  caller: Caller,
  taskId: string,
  page: { size: number; after?: string | undefined },
): Promise<{ configs: StoredWebhook[]; next: string | undefined } | undefined> {
  const rows = await selectConfigs(db, caller, taskId)
    .where('c.id', '>', page.after ?? '')
    .orderBy('c.id')
    .limit(page.size + 1)
    .execute();
  if (rows.length === 0 && !(await hasTask(db, caller, taskId))) return undefined;
  const configs = rows.slice(0, page.size).map(toWebhook);
  return { configs, next: rows.length > page.size ? configs.at(-1)?.id : undefined };
}

function selectTask(db: Db, caller: Caller, taskId: string) {
  return db.selectFrom('tasks as t').where('t.id', '=', taskId).where(visibleTo(caller));
}

function selectConfigs(db: Db, caller: Caller, taskId: string) {
  return selectTask(db, caller, taskId)
    .innerJoin('webhook_configs as c', 'c.task_id', 't.id')
    .selectAll('c')
    .select((from) =>
      from
        .selectFrom('deliveries as d')
        .select(({ fn }) => fn.min('d.due_at').as('at'))
        .whereRef('d.task_id', '=', 'c.task_id')
        .whereRef('d.config_id', '=', 'c.id')
        .where(isPending)
        .where('d.failures', '>', 0)
        .as('next_attempt_at'),
    );
}

export async function hasTask(db: Db, caller: Caller, taskId: string): Promise<boolean> {
  return (await selectTask(db, caller, taskId).select('t.id').executeTakeFirst()) !== undefined;
}

export async function hasWebhookConfig(db: Db, caller: Caller, key: ConfigKey): Promise<boolean> {
  const config = await selectTask(db, caller, key.taskId)
    .innerJoin('webhook_configs as c', 'c.task_id', 't.id')
    .select('c.id')
    .where('c.id', '=', key.configId)
    .executeTakeFirst();
  return config !== undefined;
}

export type ConfigRow = Awaited<ReturnType<ReturnType<typeof selectConfigs>['executeTakeFirstOrThrow']>>;

export function toWebhook(row: ConfigRow): StoredWebhook {
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
