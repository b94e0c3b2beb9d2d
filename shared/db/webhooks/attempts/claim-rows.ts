/** Claimed deliveries, and the rows from which claims read them. */
import { sql, type SqlBool } from 'kysely';
import type { EventKind, EventPayload } from '../../../domain/events.ts';
import type { WebhookRow } from '../../tasks/accept.ts';
import type { StoredEvent } from '../../tasks/as-of.ts';

export interface ConfigKey {
  taskId: string;
  configId: string;
}

/** The right to make one attempt at a delivery, until the lease expires or the fence is raised. */
export interface ClaimedDelivery extends ConfigKey {
  /** The number of the event; negative for a test. */
  seq: number;
  /** The number of this attempt at this delivery, from 1. */
  attempt: number;
  fence: number;
  /** Attempts at this delivery that failed since it was last scheduled. */
  failures: number;
  /** The first of the events that were merged into this one, or null. */
  mergedFrom: number | null;
  /** The receiver refused the full body as too large. */
  thin: boolean;
  config: ClaimedConfig;
  /** The event, if it was small enough to read it with the claim. Its payload is as stored: see contents/codec.ts. */
  event: StoredEvent | undefined;
  /** The span that wrote the event. */
  traceparent: string | null;
}

export interface ClaimedConfig extends WebhookRow {
  owner: string;
  /** Encrypted. For a limited time it signs in addition to the newer secret. */
  previousSecret: string | null;
}

export interface ClaimRow {
  task_id: string;
  config_id: string;
  stale: boolean;
  wait_ms: number | null;
  /** The rest is null if the delivery was not claimed. */
  seq: number | null;
  attempt: number;
  fence: number;
  failures: number;
  merged_from: number | null;
  thin: boolean;
  owner: string;
  url: string;
  token: string | null;
  auth_scheme: string | null;
  auth_credentials: string | null;
  events: WebhookRow['events'];
  protocol_version: string;
  signing_secret: string | null;
  previous_secret: string | null;
  ordered: boolean;
  event_kind: EventKind | null;
  event_payload: EventPayload | null;
  event_traceparent: string | null;
  event_at: Date | null;
}

/** Stored size of the largest event that a claim reads along. */
const smallEventBytes = 4096;

/** The clock, not `now()`: after waiting for a lock, a retry may have become due. */
export const clock = sql`clock_timestamp()`;

/**
 * Whether a delivery `d` that was found by its key is pending. `coalesce` keeps the planner from using the partial index of
 * pending deliveries, which would read all of them: by its statistics, a large table often has none.
 */
export const isPending = sql<SqlBool>`coalesce(d.state, '') = 'pending'`;

/** The columns of a ClaimRow after `wait_ms`, from `claimed`, a row of `config` and `smallEvent`. */
export const claimedColumns = sql`
      claimed.seq, claimed.attempt, claimed.fence, claimed.failures, claimed.merged_from, claimed.thin,
      config.owner, config.url, config.token, config.auth_scheme, config.auth_credentials, config.events, config.protocol_version,
      config.signing_secret, case when config.previous_secret_until > now() then config.previous_secret end as previous_secret,
      config.ordered, event.kind as event_kind, event.payload as event_payload, event.traceparent as event_traceparent,
      event.created_at as event_at`;

/** The event of `claimed`, for a join. Its payload is null unless it is small. */
export const smallEvent = sql`lateral (
      select e.kind, e.traceparent, e.created_at,
        case when pg_column_size(e.payload) <= ${sql.lit(smallEventBytes)} then e.payload end as payload
      from events e where e.task_id = claimed.task_id and e.seq = claimed.seq
    ) event`;

/** Selects ClaimRows from the CTEs of `claimFrom`. */
export const selectClaimed = sql`
    select config.task_id, config.id as config_id, config.stale,
      (extract(epoch from candidate.due_at - ${clock}) * 1000)::float8 as wait_ms,
      ${claimedColumns}
    from config
    left join candidate on candidate.task_id = config.task_id and candidate.config_id = config.id and candidate.free
    left join claimed on claimed.task_id = config.task_id and claimed.config_id = config.id and claimed.seq = candidate.seq
    left join ${smallEvent} on true
    order by candidate.due_at, candidate.seq`;

export function toClaimed(row: ClaimRow, seq: number): ClaimedDelivery {
  return {
    event: toEvent(row),
    traceparent: row.event_traceparent,
    taskId: row.task_id,
    configId: row.config_id,
    seq,
    attempt: row.attempt,
    fence: row.fence,
    failures: row.failures,
    mergedFrom: row.merged_from,
    thin: row.thin,
    config: {
      id: row.config_id,
      owner: row.owner,
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

function toEvent(row: ClaimRow): StoredEvent | undefined {
  const {
    event_kind: kind,
    event_payload: payload,
    event_traceparent: traceparent,
    event_at: createdAt,
  } = row;
  if (kind === null || payload === null || createdAt === null) return undefined;
  return { kind, payload, traceparent, createdAt };
}
