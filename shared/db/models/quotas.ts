/**
 * Requests and tokens per minute of each model, shared by all workers. Each model has one row. One statement
 * decides on all calls of a process that want to start (a set), and no lock is held between statements.
 *
 * A bucket is stored as clocks. A clock ahead of now means debt; a clock behind now means unused quota:
 *
 *   requests_at, tokens_at   when all calls granted so far are paid for. A call costs 60 s / requests per
 *                            minute, and 60 s / tokens per minute for each of its tokens. It may start when
 *                            earlier grants are paid for. Unused quota expires after `burst`.
 *   queue_at                 when the parked calls behind them are paid for too
 *   refunds_at               how far refunds to rejected calls reach. At most half of the elapsed time is
 *                            refunded, so a model that rejects everything gets at most 1.5 times its quota
 *
 * A call that may start within `bound` is granted, and its worker waits. Any other call is parked: its task
 * gets a place in the queue, which is the time when it returns. Parked tasks return one after the other, at
 * the rate at which calls may start, each a little early (`lead`). While tasks are parked, a new call joins
 * the end of the queue, unless nothing is owed. In that case all tasks in the queue were cancelled or are
 * late, and new calls do not wait for them. New calls therefore cannot overtake a task forever, and an
 * abandoned place costs nothing.
 *
 * If a model asks for a pause (`Retry-After`), `requests_at` moves for all calls, and the rejected call is
 * not refunded. Calls of a model without a quota cost no time. They are delayed only by such pauses, and are
 * then spread over the time after the end of the pause.
 *
 * A request may be too large to fit ever. If the model has answered other calls since it last rejected a
 * request (`answered_at`), the pause applies to that request alone.
 */
import { sql, type RawBuilder } from 'kysely';
import { createBatcher } from '../client/batcher.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { float, int, rows, text, uuid } from '../client/rows.ts';
import { burst, correctSet, noCorrection, type Correction } from './quota-corrections.ts';

const bound = sql`interval '5 seconds'`;
const lead = sql`interval '3 seconds'`;
/** A parked task asks again after this time at the latest, in case the queue has become shorter. */
const maxParkMs = 5 * 60_000;

export interface ModelCall {
  taskId: string;
  model: string;
  /** Default: unlimited. */
  requestsPerMinute?: number | undefined;
  tokensPerMinute?: number | undefined;
  /** Estimated input tokens. */
  tokens: number;
}

/** `granted`: start the call after the wait, which is short. `parked`: ask again after the wait. */
export interface QuotaAnswer {
  kind: 'granted' | 'parked';
  waitMs: number;
}

export interface Refusal {
  /** How long the model accepts no calls. 0: it gave no time, and the call is refunded as far as possible. */
  retryAfterMs: number;
  /** When the model last rejected the same request. */
  refusedAt: Date | undefined;
  /** Estimated input tokens of the request. */
  tokens: number;
}

export interface ModelQuotas {
  take(call: ModelCall): Promise<QuotaAnswer>;
  /** Corrects a granted call, which the model has answered, to the number of tokens that it used. */
  settle(call: ModelCall, tokens: number): Promise<void>;
  /**
   * Returns the quota of a granted call that the model rejected. When its task asks again, it precedes new
   * calls.
   *
   * @returns whether the model has answered calls since it last rejected this request, and only smaller ones
   */
  refund(call: ModelCall, refusal: Refusal): Promise<boolean>;
}

/** How often a process reports that a model answers, if no call has to be corrected. */
const reportMs = 5000;

export function createModelQuotas(db: Db): ModelQuotas {
  const known = new Set<string>();
  async function addModels(models: ReadonlySet<string>): Promise<void> {
    const added = [...models]
      .sort()
      .filter((model) => !known.has(model))
      .map((model) => ({ model }));
    if (added.length === 0) return;
    await db
      .insertInto('model_quotas')
      .values(added)
      .onConflict((conflict) => conflict.column('model').doNothing())
      .execute();
    for (const { model } of added) known.add(model);
  }
  const take = createBatcher(
    async (calls: readonly ModelCall[]) => {
      await addModels(new Set(calls.map(({ model }) => model)));
      return takeSet(db, calls);
    },
    { max: 256, key: (call) => call.taskId },
  );
  const apply = createBatcher((corrections: readonly Correction[]) => correctSet(db, corrections), {
    max: 256,
  });
  const reported = new Map<string, { at: number; tokens: number }>();
  /** Returns true if other processes may not know that the model answers requests of this size. */
  function isNews(model: string, tokens: number): boolean {
    const last = reported.get(model);
    const now = performance.now();
    if (last !== undefined && now - last.at < reportMs && tokens <= last.tokens) return false;
    reported.set(model, { at: now, tokens });
    return true;
  }
  return {
    take,
    settle: async ({ model, tokensPerMinute, tokens: estimated }, tokens) => {
      const tokenSeconds = toSeconds(tokens - estimated, tokensPerMinute);
      if (tokenSeconds === 0 && !isNews(model, tokens)) return;
      await apply({ ...noCorrection, model, tokenSeconds, answeredTokens: tokens });
    },
    refund: (
      { model, taskId, requestsPerMinute, tokensPerMinute, tokens },
      { retryAfterMs, refusedAt, tokens: size },
    ) =>
      apply({
        ...noCorrection,
        model,
        ...(retryAfterMs === 0 && {
          refundRequestSeconds: toSeconds(1, requestsPerMinute),
          refundTokenSeconds: toSeconds(tokens, tokensPerMinute),
        }),
        retryAfterSeconds: retryAfterMs / 1000,
        placeFor: taskId,
        refusedAt: refusedAt ?? null,
        refusedTokens: size,
      }),
  };
}

/** The time that an amount takes at a rate. */
function toSeconds(amount: number, perMinute: number | undefined): number {
  return perMinute === undefined ? 0 : (60 * amount) / perMinute;
}

async function takeSet(db: Db, calls: readonly ModelCall[]): Promise<QuotaAnswer[]> {
  const result = await sql<{ granted: boolean; wait_ms: number }>`
    with ${callRows(calls)},
    ${readClocks},
    ${decideCalls},
    ${chargeGranted},
    ${timeAnswers},
    ${updatePlaces}
    -- A parked task returns a little early. Calls without a cost are spread over the time after the end of a
    -- pause.
    select granted, (1000 * greatest(0, extract(epoch from case
        when cost_s = 0 then (start_at - now()) * (1 + random() / 4)
        when granted then start_at - now()
        else start_at - now() - ${lead}
      end)))::float8 as wait_ms
    from answer order by number`.execute(db);
  return result.rows.map(({ granted, wait_ms: waitMs }): QuotaAnswer => {
    if (granted) return { kind: 'granted', waitMs };
    return { kind: 'parked', waitMs: Math.min(waitMs, maxParkMs * (0.5 + Math.random() / 2)) };
  });
}

/** The CTE `call`: the calls with their cost, and the place in the queue of those whose task was parked. */
function callRows(calls: readonly ModelCall[]): RawBuilder<unknown> {
  const numbered = calls.map((call, number) => ({ ...call, number }));
  const input = rows('input', numbered, {
    model: text((call) => call.model),
    task_id: uuid((call) => call.taskId),
    request_s: float((call) => toSeconds(1, call.requestsPerMinute)),
    token_s: float((call) => toSeconds(call.tokens, call.tokensPerMinute)),
    number: int((call) => call.number),
  });
  return sql`call as (
      select input.*, place.at as place_at
      from (${input}) input
      left join quota_places place on place.task_id = input.task_id and place.model = input.model
    )`;
}

/** The CTE `clock`: the locked clocks of the models, without unused quota older than `burst`. */
const readClocks: RawBuilder<unknown> = sql`
    -- Locks one row for each model, in order, so that two statements never wait for each other.
    locked as (
      select * from model_quotas where model in (select model from call) order by model for update
    ),
    -- owed_at: when all grants are paid for. If that was more than the burst time ago, the queue counts as
    -- empty.
    clock as (
      select model, greatest(requests_at, tokens_at) as owed_at,
        case when greatest(requests_at, tokens_at) > now() - ${burst} then queue_at else now() end as queue_at,
        greatest(requests_at, now() - ${burst}) as requests_at, greatest(tokens_at, now() - ${burst}) as tokens_at
      from locked
    )`;

/** The CTE `decided`: which calls are granted, and what they cost. */
const decideCalls: RawBuilder<unknown> = sql`
    -- first: the call need not wait for the queue. Nothing is owed, its place is due, or the queue is empty.
    candidate as (
      select call.*, clock.requests_at, clock.tokens_at,
        owed_at <= now() or coalesce(place_at - ${lead} <= now(), queue_at <= owed_at) as first
      from call join clock on clock.model = call.model
    ),
    -- at: when the call may start, after the calls of the same set that precede it by place are paid for.
    slot as (
      select *, greatest(
        requests_at + ${seconds(sql`coalesce(sum(request_s) over before, 0)`)},
        tokens_at + ${seconds(sql`coalesce(sum(token_s) over before, 0)`)}
      ) as at
      from candidate
      window before as (
        partition by model, first order by place_at nulls last, number
        rows between unbounded preceding and 1 preceding
      )
    ),
    decided as (
      select *, first and at <= now() + ${bound} as granted, greatest(request_s, token_s) as cost_s from slot
    )`;

/** Moves the clocks by the granted calls, and the end of the queue by the newly parked ones (CTE `queue`). */
const chargeGranted: RawBuilder<unknown> = sql`
    -- The clocks after the granted calls, and the time that the newly parked calls add to the queue.
    paid as (
      select model,
        min(requests_at) + ${seconds(sql`coalesce(sum(request_s) filter (where granted), 0)`)} as requests_at,
        min(tokens_at) + ${seconds(sql`coalesce(sum(token_s) filter (where granted), 0)`)} as tokens_at,
        ${seconds(sql`coalesce(sum(cost_s) filter (where not granted and place_at is null), 0)`)} as queued
      from decided group by model
    ),
    -- end_at: where the newly parked calls join the queue.
    queue as (
      select paid.*, queue_at, greatest(paid.requests_at, paid.tokens_at, queue_at) as end_at
      from paid join clock on clock.model = paid.model
    ),
    stored as (
      update model_quotas q set requests_at = queue.requests_at, tokens_at = queue.tokens_at,
        queue_at = case when queued > interval '0' then end_at + queued else queue.queue_at end
      from queue where q.model = queue.model
    )`;

/**
 * The CTE `answer`: when each call starts, or when its task returns. A parked task keeps its place. If its
 * place is overdue, it returns after a random time, at most as long as it is overdue. New places are appended
 * to the queue.
 */
const timeAnswers: RawBuilder<unknown> = sql`
    answer as (
      select number, task_id, decided.model, granted, place_at, cost_s, case
          when granted then at
          when place_at is not null and first
            then greatest(place_at, at + random() * greatest(now() - place_at, interval '0'))
          when place_at is not null then place_at
          else end_at + ${seconds(sql`coalesce(sum(cost_s) over (
            partition by decided.model, granted, place_at is null order by number
            rows between unbounded preceding and 1 preceding
          ), 0)`)}
        end as start_at
      from decided join queue on queue.model = decided.model
    )`;

/** Removes the places of granted calls and stores those of newly parked ones. */
const updatePlaces: RawBuilder<unknown> = sql`
    returned as (
      delete from quota_places p using answer
      where p.task_id = answer.task_id and answer.granted and answer.place_at is not null
    ),
    parked as (
      insert into quota_places (task_id, model, at)
      select task_id, model, start_at from answer where not granted and place_at is null
      on conflict (task_id) do update set model = excluded.model, at = excluded.at
    )`;
