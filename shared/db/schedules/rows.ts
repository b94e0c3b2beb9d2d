/** Schedules as they are stored, with the webhook that their tasks get. */
import type { ExpressionBuilder, Selectable, Transaction } from 'kysely';
import type { OverlapPolicy, Rhythm, ScheduleTemplate } from '../../domain/schedule.ts';
import type { Db } from '../client/pool.ts';
import { openJson } from '../contents/codec.ts';
import type { Database } from '../schema/schema.ts';
import type { WebhookRow } from '../tasks/accept.ts';

export interface Schedule {
  /** Never changes; `id` is unique among those of a caller. */
  key: string;
  tenant: string;
  owner: string;
  id: string;
  rhythm: Rhythm;
  overlap: OverlapPolicy;
  catchUpSeconds: number;
  paused: boolean;
  template: ScheduleTemplate;
  /** The first due time that is not decided; null: none. */
  nextAt: Date | null;
  /** The last task that the schedule has started. */
  lastTaskId: string | null;
  /** Its secrets are encrypted for the key of the schedule. */
  webhook: WebhookRow | null;
  createdAt: Date;
  updatedAt: Date;
}

export type ScheduleRow = Selectable<Database['schedules']>;

/** Returns what the tasks of a schedule are made of. Without its key, it cannot be read. */
export function openTemplate(row: ScheduleRow): Promise<ScheduleTemplate> {
  return openJson('template', toTemplatePlace(row).taskId, row.template);
}

/**
 * Reads schedules together with their webhooks.
 *
 * @param open returns the template of a row
 */
export async function withWebhooks(
  db: Db | Transaction<Database>,
  rows: readonly ScheduleRow[],
  open: (row: ScheduleRow) => Promise<ScheduleTemplate> = openTemplate,
): Promise<Schedule[]> {
  if (rows.length === 0) return [];
  const keys = rows.map(({ key }) => key);
  const configs = await db.selectFrom('webhook_configs').selectAll().where('task_id', 'in', keys).execute();
  const webhooks = new Map(configs.map((config) => [config.task_id, toWebhookRow(config)]));
  const templates = await Promise.all(rows.map((row) => open(row)));
  return rows.map((row, index) => ({
    key: row.key,
    tenant: row.tenant,
    owner: row.owner,
    id: row.id,
    rhythm: toRhythm(row),
    overlap: row.overlap,
    catchUpSeconds: row.catch_up_seconds,
    paused: row.paused,
    template: templates[index] ?? row.template,
    nextAt: row.next_at,
    lastTaskId: row.last_task_id,
    webhook: webhooks.get(row.key) ?? null,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }));
}

function toRhythm({ cron, time_zone, every_seconds }: ScheduleRow): Rhythm {
  return every_seconds === null
    ? { cron: cron ?? '', timeZone: time_zone ?? 'UTC' }
    : { everySeconds: every_seconds };
}

function toWebhookRow(config: Selectable<Database['webhook_configs']>): WebhookRow {
  return {
    id: config.id,
    url: config.url,
    token: config.token,
    authScheme: config.auth_scheme,
    authCredentials: config.auth_credentials,
    events: config.events,
    protocolVersion: config.protocol_version,
    signingSecret: config.signing_secret,
    ordered: config.ordered,
  };
}

/** Whether only a process with the encryption keys can copy the webhook to a task. */
export function hasSecrets(webhook: WebhookRow | null): boolean {
  if (webhook === null) return false;
  return webhook.token !== null || webhook.authCredentials !== null || webhook.signingSecret !== null;
}

/** The row that an encrypted template is bound to: the key is not known before it is stored. */
export function toTemplatePlace({ tenant, owner, id }: Pick<Schedule, 'tenant' | 'owner' | 'id'>): {
  taskId: string;
  owner: string;
} {
  return { taskId: JSON.stringify(['schedule', tenant, id]), owner };
}

/** The schedules of a caller (invariant 9). */
export function ofCaller({ tenant, owner }: { tenant: string; owner: string }) {
  return (eb: ExpressionBuilder<Database, 'schedules'>) =>
    eb.and([eb('owner', '=', owner), eb('tenant', '=', tenant)]);
}
