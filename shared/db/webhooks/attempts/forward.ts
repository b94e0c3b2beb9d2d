/** Makes deliveries due now that wait for a retry, because their receiver is back. */
import { sql } from 'kysely';
import type { DeliveryWakeup } from '../../../domain/wakeup.ts';
import { databaseNow } from '../../../runtime/clock.ts';
import { seconds } from '../../client/fragments.ts';
import type { Db } from '../../client/pool.ts';
import { int, rows as toRows, text, uuid } from '../../client/rows.ts';
import type { DeferralReason } from './settle.ts';
import { insertOutbox } from '#shared/db/outbox/outbox.ts';
import type { ConfigKey } from './claim-rows.ts';
import { isPending } from '../pending.ts';

export interface DeliveryKey extends ConfigKey {
  seq: number;
}

/**
 * The attempt that follows is an additional one: if it fails, the delivery waits as long as before. Deliveries that are
 * being attempted or claimed are left out, and so are those that are due anyway.
 *
 * @param reason only deliveries that still wait for this reason
 */
export async function bringForward(
  db: Db,
  wakeupGraceSeconds: number,
  keys: readonly DeliveryKey[],
  reason: DeferralReason | null = null,
): Promise<DeliveryWakeup[]> {
  const { rows } = await sql<{ id: string; task_id: string; config_id: string }>`
    with input as (${toRows('input', keys, {
      task_id: uuid((key) => key.taskId),
      config_id: text((key) => key.configId),
      seq: int((key) => key.seq),
    })}),
    -- Configs are locked before deliveries, here and wherever both change.
    config as (
      select c.task_id, c.id from webhook_configs c
      where (c.task_id, c.id) in (select task_id, config_id from input) and c.disabled_at is null
      order by c.task_id, c.id for update skip locked
    ),
    forwarded as (
      update deliveries d set due_at = now(), wakeup_at = now() + ${seconds(wakeupGraceSeconds)},
        -- A deferral has not counted as a failure.
        failures = greatest(0, d.failures - (d.deferred_reason is null)::int), deferred_reason = null
      from input join config on config.task_id = input.task_id and config.id = input.config_id
      where d.task_id = input.task_id and d.config_id = input.config_id and d.seq = input.seq
        and ${isPending} and (${reason}::text is null or d.deferred_reason = ${reason}) and d.due_at > now() and (d.lease_until is null or d.lease_until < now())
      returning d.task_id, d.config_id
    )
    ${insertOutbox({ kind: 'delivery', from: sql`(select distinct task_id, config_id from forwarded) forwarded` })}
    returning id, task_id, config_id`.execute(db);
  return rows.map((row) => ({
    id: row.id,
    kind: 'delivery',
    taskId: row.task_id,
    configId: row.config_id,
    dueAt: new Date(databaseNow()),
  }));
}
