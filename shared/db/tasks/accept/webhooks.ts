/** Stores the webhook configs of new tasks. */
import { sql, type RawBuilder } from 'kysely';
import { seconds } from '../../client/fragments.ts';
import { boolean, rows, text, uuid } from '../../client/rows.ts';

export interface WebhookRow {
  id: string;
  url: string;
  /** Encrypted, like the credentials; see crypto/encryption.ts. */
  token: string | null;
  authScheme: string | null;
  authCredentials: string | null;
  events: 'all' | 'state' | 'end';
  protocolVersion: string;
  /** Signs the webhooks of this config; encrypted. */
  signingSecret: string | null;
  /** False if an event does not wait for earlier ones. */
  ordered: boolean;
}

/**
 * The CTEs `config` and `delivery`: the webhook configs of a set, and their deliveries of the first event.
 * They are left out if the set has no configs, as most sets, because they take 8% of the statement's time.
 */
export function insertWebhooks(
  webhooks: readonly (WebhookRow & { taskId: string })[],
  { wakeupGraceSeconds }: { wakeupGraceSeconds: number },
): RawBuilder<unknown> {
  const input = rows('webhook', webhooks, {
    task_id: uuid((webhook) => webhook.taskId),
    id: text((webhook) => webhook.id),
    url: text((webhook) => webhook.url),
    token: text((webhook) => webhook.token),
    auth_scheme: text((webhook) => webhook.authScheme),
    auth_credentials: text((webhook) => webhook.authCredentials),
    events: text((webhook) => webhook.events),
    protocol_version: text((webhook) => webhook.protocolVersion),
    signing_secret: text((webhook) => webhook.signingSecret),
    ordered: boolean((webhook) => webhook.ordered),
  });
  return sql`
    config as (
      insert into webhook_configs
        (task_id, id, tenant, owner, url, token, auth_scheme, auth_credentials, events, protocol_version,
        signing_secret, ordered)
      select fresh.task_id, webhook.id, tenant, owner, url, token, auth_scheme, auth_credentials, events,
        protocol_version, signing_secret, ordered
      from (${input}) webhook join fresh on fresh.task_id = webhook.task_id
      returning task_id, id, events
    ),
    delivery as (
      insert into deliveries (task_id, config_id, seq, wakeup_at)
      select task_id, id, 1, now() + ${seconds(wakeupGraceSeconds)} from config
      where events in ('all', 'state')
      returning task_id, config_id
    ),`;
}
