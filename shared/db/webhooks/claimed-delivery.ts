/** A delivery as whoever claims it gets it: what is to be sent where, and the right to record one attempt. */
import { sql } from 'kysely';
import type { WebhookRow } from '../tasks/accept.ts';

export interface ConfigKey {
  taskId: string;
  configId: string;
}

/** The key of a config as one string. */
export function keyText(key: ConfigKey): string {
  return JSON.stringify([key.taskId, key.configId]);
}

/** The right to make one attempt, until the lease runs out or the fence is raised. */
export interface ClaimedDelivery extends ConfigKey {
  /** The number of the event. */
  seq: number;
  /** The number of this attempt at this event, from 1. */
  attempt: number;
  fence: string;
  /** The first event that this one tells of as well; null: it tells of itself. */
  mergedFrom: number | null;
  /** How many attempts in a row have failed for this config. */
  failures: number;
  config: ClaimedConfig;
}

export interface ClaimedConfig extends WebhookRow {
  /** Signs beside the newer secret for a while; encrypted. */
  previousSecret: string | null;
}

/** A claimed delivery, as statements return it. */
export interface ClaimedColumns {
  task_id: string;
  config_id: string;
  seq: number;
  attempt: number;
  merged_from: number | null;
  failures: number;
  fence: string;
  url: string;
  token: string | null;
  auth_scheme: string | null;
  auth_credentials: string | null;
  events: WebhookRow['events'];
  protocol_version: string;
  signing_secret: string | null;
  previous_secret: string | null;
  ordered: boolean;
}

/** What a claim returns of the config, from a relation with the columns of `webhook_configs`. */
export function configColumns(relation: string) {
  const row = sql.ref(relation);
  return sql`${row}.url, ${row}.token, ${row}.auth_scheme, ${row}.auth_credentials, ${row}.events,
    ${row}.protocol_version, ${row}.signing_secret, ${row}.ordered,
    case when ${row}.previous_secret_until > now() then ${row}.previous_secret end as previous_secret`;
}

export function toClaimed(row: ClaimedColumns): ClaimedDelivery {
  return {
    taskId: row.task_id,
    configId: row.config_id,
    seq: row.seq,
    attempt: row.attempt,
    mergedFrom: row.merged_from,
    fence: row.fence,
    failures: row.failures,
    config: {
      id: row.config_id,
      url: row.url,
      token: row.token,
      authScheme: row.auth_scheme,
      authCredentials: row.auth_credentials,
      events: row.events,
      protocolVersion: row.protocol_version,
      signingSecret: row.signing_secret,
      previousSecret: row.previous_secret,
      ordered: row.ordered,
    },
  };
}
