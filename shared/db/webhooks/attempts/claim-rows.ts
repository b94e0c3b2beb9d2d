/** Claimed deliveries, and the rows from which claims read them. */
import { sql } from 'kysely';
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

export interface ClaimRow extends ClaimedColumns {
  stale: boolean;
  /** Null if the delivery was claimed, or none is free. */
  wait_ms: number | null;
}

export interface ClaimedColumns {
  task_id: string;
  config_id: string;
  /** The rest is null if nothing was claimed. */
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
 * The columns that a CTE `claimed` returns, which updates deliveries `d` from `candidate`. That has the columns of the config: a
 * join with the configs would scan the whole set for each row.
 */
export const returnClaimed = sql`
      returning d.task_id, d.config_id, d.seq, d.attempts as attempt, d.fence, d.failures, d.merged_from, d.thin,
        candidate.owner, candidate.url, candidate.token, candidate.auth_scheme, candidate.auth_credentials, candidate.events,
        candidate.protocol_version, candidate.signing_secret,
        case when candidate.previous_secret_until > now() then candidate.previous_secret end as previous_secret,
        candidate.ordered`;

/** The columns of a ClaimRow from `seq`, from `claimedWithEvent`. */
export const claimedColumns = sql`
      claimed.seq, claimed.attempt, claimed.fence, claimed.failures, claimed.merged_from, claimed.thin, claimed.owner,
      claimed.url, claimed.token, claimed.auth_scheme, claimed.auth_credentials, claimed.events, claimed.protocol_version,
      claimed.signing_secret, claimed.previous_secret, claimed.ordered, event.kind as event_kind,
      event.payload as event_payload, event.traceparent as event_traceparent, event.created_at as event_at`;

/** The rows of `claimed` with their events, for a FROM clause. A payload is null unless it is small. */
export const claimedWithEvent = sql`claimed left join lateral (
      select e.kind, e.traceparent, e.created_at,
        case when pg_column_size(e.payload) <= ${sql.lit(smallEventBytes)} then e.payload end as payload
      from events e where e.task_id = claimed.task_id and e.seq = claimed.seq
    ) event on true`;

/**
 * Selects ClaimRows from the CTEs of `claimFrom`: those that were claimed, and the other candidates. `not in` hashes what was
 * claimed.
 */
export const selectClaimed = sql`
    select candidate.task_id, candidate.config_id, candidate.stale, candidate.due_at,
      case when candidate.free then (extract(epoch from candidate.due_at - ${clock}) * 1000)::float8 end as wait_ms,
      ${claimedColumns}
    from candidate left join (${claimedWithEvent}) on false
    where (candidate.task_id, candidate.config_id, coalesce(candidate.seq, 0)) not in (
      select task_id, config_id, seq from claimed
    )
    union all
    select claimed.task_id, claimed.config_id, false, claimed.due_at, null, ${claimedColumns} from ${claimedWithEvent}
    order by due_at, seq`;

export function toClaimed(row: ClaimedColumns, seq: number): ClaimedDelivery {
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

function toEvent(row: ClaimedColumns): StoredEvent | undefined {
  const {
    event_kind: kind,
    event_payload: payload,
    event_traceparent: traceparent,
    event_at: createdAt,
  } = row;
  if (kind === null || payload === null || createdAt === null) return undefined;
  return { kind, payload, traceparent, createdAt };
}
