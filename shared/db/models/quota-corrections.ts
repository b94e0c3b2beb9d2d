/** Corrections of a model's quota (quotas.ts) once the outcome of a call is known, for a set of calls. */
import { sql } from 'kysely';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { float, int, rows, text, timestamp, uuid } from '../client/rows.ts';

/** How long unused quota is kept. */
export const burst = sql`interval '5 seconds'`;

export interface Correction {
  model: string;
  tokenSeconds: number;
  refundRequestSeconds: number;
  refundTokenSeconds: number;
  /** 0: the model did not ask for a pause. */
  retryAfterSeconds: number;
  /** A task that gets a place at the head of the queue. */
  placeFor: string | null;
  /** When the model last rejected the request; null: never. */
  refusedAt: Date | null;
  refusedTokens: number | null;
  /** The input tokens of a call that the model answered. */
  answeredTokens: number | null;
}

export const noCorrection = {
  tokenSeconds: 0,
  refundRequestSeconds: 0,
  refundTokenSeconds: 0,
  retryAfterSeconds: 0,
  placeFor: null,
  refusedAt: null,
  refusedTokens: null,
  answeredTokens: null,
};

/** Returns for each correction whether the model has answered only smaller calls since it rejected this one. */
export async function correctSet(db: Db, corrections: readonly Correction[]): Promise<boolean[]> {
  const numbered = corrections.map((correction, number) => ({ ...correction, number }));
  const input = rows('correction', numbered, {
    number: int((correction) => correction.number),
    model: text((correction) => correction.model),
    settle_s: float((correction) => correction.tokenSeconds),
    request_s: float((correction) => correction.refundRequestSeconds),
    token_s: float((correction) => correction.refundTokenSeconds),
    retry_after_s: float((correction) => correction.retryAfterSeconds),
    task_id: uuid((correction) => correction.placeFor),
    refused_at: timestamp((correction) => correction.refusedAt),
    refused_tokens: float((correction) => correction.refusedTokens),
    answered_tokens: float((correction) => correction.answeredTokens),
  });
  const result = await sql<{ outgrown: boolean }>`
    with input as (${input}),
    locked as (
      select model, greatest(refunds_at, now() - ${burst}) as refunds_at, answered_at, answered_tokens
      from model_quotas
      where model in (select model from input) order by model for update
    ),
    -- passed: the model has answered other calls since it last rejected this one.
    correction as (
      select input.*, coalesce(answered_at > refused_at, false) as passed,
        coalesce(answered_at > refused_at and refused_tokens > locked.answered_tokens, false) as outgrown
      from input left join locked on locked.model = input.model
    ),
    -- A rejected call gets a place at the head of the queue.
    parked as (
      insert into quota_places (task_id, model, at)
      select task_id, model, now() from correction where task_id is not null
      on conflict (task_id) do update set model = excluded.model, at = excluded.at
    ),
    -- One row for each model: a row is updated at most once.
    total as (
      select model, sum(settle_s) as settle_s, sum(request_s) as request_s, sum(token_s) as token_s,
        sum(greatest(request_s, token_s)) as cost_s,
        max(retry_after_s) filter (where not passed) as retry_after_s,
        max(answered_tokens) as answered_tokens
      from correction group by model
    ),
    -- share: the part of the requested refunds that fits into half of the time since the last refunds.
    refund as (
      select total.*, refunds_at,
        coalesce(least(1, extract(epoch from now() - refunds_at)::float8 / 2 / nullif(cost_s, 0)), 0) as share
      from total join locked on locked.model = total.model
    ),
    updated as (
      update model_quotas q set
        requests_at = greatest(
          q.requests_at - ${seconds(sql`share * request_s`)},
          case when retry_after_s > 0 then now() + ${seconds(sql`retry_after_s`)} end
        ),
        tokens_at = q.tokens_at + ${seconds(sql`settle_s - share * token_s`)},
        refunds_at = refund.refunds_at + ${seconds(sql`2 * share * cost_s`)},
        answered_at = case when refund.answered_tokens is not null then now() else q.answered_at end,
        -- The largest answered call, forgotten after an hour without any.
        answered_tokens = greatest(
          refund.answered_tokens, case when q.answered_at > now() - interval '1 hour' then q.answered_tokens end
        )
      from refund where q.model = refund.model
    )
    select outgrown from correction order by number`.execute(db);
  return result.rows.map(({ outgrown }) => outgrown);
}
