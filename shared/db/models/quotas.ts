/**
 * Requests and tokens a minute of each model, shared by all workers: one row a model, one statement for all the calls of a
 * process that want to begin (a set), nothing held between statements.
 *
 * A bucket is kept as clocks, which run ahead of the time by what is owed and behind it by what was saved:
 *
 *   requests_at, tokens_at   when what was granted so far is paid for. A call costs 60 s / requests a minute, and as much
 *                            for each of its tokens; it may begin once what was granted before it is paid. What is saved
 *                            is lost after `burst`.
 *   queue_at                 when what waits parked, behind that, will be paid for too
 *   refunds_at               up to when refused calls were refunded: half of the time may be, so that a model that refuses
 *                            has half as many calls again as its quota, and not more
 *
 * A call that may begin within `bound` is granted its time, and waits in place. Any other is parked, and its task has a
 * place in the queue: a time of its own, so that the parked come back one after the other, a little early (`lead`), at the
 * rate at which calls may begin. While some are parked a new call goes to the end of the queue, unless nothing is owed:
 * the queue is then one of tasks that were cancelled or are late, and nobody waits for those. So a long task is not
 * overtaken for ever, and a place that nobody comes for costs nothing.
 *
 * A model that asks for patience moves `requests_at` for all, and what it refused so is not refunded. A call of a model
 * without a quota costs no time, and only that patience counts: those who wait for its end are spread over the time
 * after it.
 */
import { sql } from 'kysely';
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';

const bound = sql`interval '5 seconds'`;
const burst = sql`interval '5 seconds'`;
const lead = sql`interval '3 seconds'`;
/** A parked task looks again after this, should the queue have become shorter. */
const longestParkMs = 5 * 60_000;

export interface ModelCall {
  taskId: string;
  model: string;
  /** What one minute allows; left out: no limit. */
  requestsPerMinute?: number | undefined;
  tokensPerMinute?: number | undefined;
  /** Going in, by an estimate. */
  tokens: number;
}

/** `granted`: to begin after the wait, which is short. `parked`: to be asked for again after it. */
export interface QuotaAnswer {
  kind: 'granted' | 'parked';
  waitMs: number;
}

export interface ModelQuotas {
  take(call: ModelCall): Promise<QuotaAnswer>;
  /** A call that was granted took another number of tokens. */
  settle(call: ModelCall, tokens: number): Promise<void>;
  /**
   * A call that was granted was refused by the model: when its task asks again, it comes before those that are new.
   * `patienceMs`: the model takes no call for so long; 0: it did not say, and the call is refunded as far as can be.
   */
  giveBack(call: ModelCall, patienceMs: number): Promise<void>;
}

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
  const correct = createBatcher((corrections: readonly Correction[]) => correctSet(db, corrections), {
    max: 256,
  });
  return {
    take,
    settle: ({ model, tokensPerMinute, tokens: estimated }, tokens) =>
      correct({ ...noCorrection, model, tokenSeconds: secondsOf(tokens - estimated, tokensPerMinute) }),
    giveBack: ({ model, taskId, requestsPerMinute, tokensPerMinute, tokens }, patienceMs) =>
      correct({
        ...noCorrection,
        model,
        ...(patienceMs === 0 && {
          refundRequestSeconds: secondsOf(1, requestsPerMinute),
          refundTokenSeconds: secondsOf(tokens, tokensPerMinute),
        }),
        patienceSeconds: patienceMs / 1000,
        placeFor: taskId,
      }),
  };
}

function secondsOf(amount: number, perMinute: number | undefined): number {
  return perMinute === undefined ? 0 : (60 * amount) / perMinute;
}

async function takeSet(db: Db, calls: readonly ModelCall[]): Promise<QuotaAnswer[]> {
  const { rows } = await sql<{ granted: boolean; wait_ms: number }>`
    with call as (
      select asked.*, place.at as place_at
      from unnest(
        ${calls.map(({ model }) => model)}::text[], ${calls.map(({ taskId }) => taskId)}::uuid[],
        ${calls.map((call) => secondsOf(1, call.requestsPerMinute))}::float8[],
        ${calls.map((call) => secondsOf(call.tokens, call.tokensPerMinute))}::float8[]
      ) with ordinality as asked (model, task_id, request_s, token_s, number)
      left join quota_places place on place.task_id = asked.task_id and place.model = asked.model
    ),
    locked as (
      select * from model_quotas where model in (select model from call) order by model for update
    ),
    clock as (
      select model, greatest(requests_at, tokens_at) as owed_at,
        case when greatest(requests_at, tokens_at) > now() - ${burst} then queue_at else now() end as queue_at,
        greatest(requests_at, now() - ${burst}) as requests_at, greatest(tokens_at, now() - ${burst}) as tokens_at
      from locked
    ),
    asked as (
      select call.*, clock.requests_at, clock.tokens_at,
        owed_at <= now() or coalesce(place_at - ${lead} <= now(), queue_at <= owed_at) as first
      from call join clock on clock.model = call.model
    ),
    slot as (
      select *, greatest(
        requests_at + coalesce(sum(request_s) over before, 0) * interval '1 second',
        tokens_at + coalesce(sum(token_s) over before, 0) * interval '1 second'
      ) as at
      from asked
      window before as (
        partition by model, first order by place_at nulls last, number
        rows between unbounded preceding and 1 preceding
      )
    ),
    decided as (
      select *, first and at <= now() + ${bound} as granted, greatest(request_s, token_s) as cost_s from slot
    ),
    paid as (
      select model,
        min(requests_at) + coalesce(sum(request_s) filter (where granted), 0) * interval '1 second' as requests_at,
        min(tokens_at) + coalesce(sum(token_s) filter (where granted), 0) * interval '1 second' as tokens_at,
        coalesce(sum(cost_s) filter (where not granted and place_at is null), 0) * interval '1 second' as queued
      from decided group by model
    ),
    queue as (
      select paid.*, queue_at, greatest(paid.requests_at, paid.tokens_at, queue_at) as end_at
      from paid join clock on clock.model = paid.model
    ),
    stored as (
      update model_quotas q set requests_at = queue.requests_at, tokens_at = queue.tokens_at,
        queue_at = case when queued > interval '0' then end_at + queued else queue.queue_at end
      from queue where q.model = queue.model
    ),
    answer as (
      select number, task_id, decided.model, granted, place_at, cost_s, case
          when granted then at
          -- Where the whole queue is late, those who were to come meanwhile come over as long a time again.
          when place_at is not null and first
            then greatest(place_at, at + random() * greatest(now() - place_at, interval '0'))
          when place_at is not null then place_at
          else end_at + coalesce(sum(cost_s) over (
            partition by decided.model, granted, place_at is null order by number
            rows between unbounded preceding and 1 preceding
          ), 0) * interval '1 second'
        end as begin_at
      from decided join queue on queue.model = decided.model
    ),
    came as (
      delete from quota_places p using answer
      where p.task_id = answer.task_id and answer.granted and answer.place_at is not null
    ),
    parked as (
      insert into quota_places (task_id, model, at)
      select task_id, model, begin_at from answer where not granted and place_at is null
      on conflict (task_id) do update set model = excluded.model, at = excluded.at
    )
    select granted, (1000 * greatest(0, extract(epoch from case
        when cost_s = 0 then (begin_at - now()) * (1 + random() / 4)
        when granted then begin_at - now()
        else begin_at - now() - ${lead}
      end)))::float8 as wait_ms
    from answer order by number`.execute(db);
  return rows.map(({ granted, wait_ms: waitMs }): QuotaAnswer => {
    if (granted) return { kind: 'granted', waitMs };
    return { kind: 'parked', waitMs: Math.min(waitMs, longestParkMs * (0.5 + Math.random() / 2)) };
  });
}

interface Correction {
  model: string;
  tokenSeconds: number;
  refundRequestSeconds: number;
  refundTokenSeconds: number;
  /** 0: none. */
  patienceSeconds: number;
  /** A task that is given a place in the queue, at its head. */
  placeFor: string | null;
}

const noCorrection = {
  tokenSeconds: 0,
  refundRequestSeconds: 0,
  refundTokenSeconds: 0,
  patienceSeconds: 0,
  placeFor: null,
};

async function correctSet(db: Db, corrections: readonly Correction[]): Promise<void[]> {
  const column = <K extends keyof Correction>(name: K) => corrections.map((one) => one[name]);
  await sql`
    with correction as (
      select * from unnest(
        ${column('model')}::text[], ${column('tokenSeconds')}::float8[], ${column('refundRequestSeconds')}::float8[],
        ${column('refundTokenSeconds')}::float8[], ${column('patienceSeconds')}::float8[], ${column('placeFor')}::uuid[]
      ) as correction (model, settle_s, request_s, token_s, patience_s, task_id)
    ),
    locked as (
      select model, greatest(refunds_at, now() - ${burst}) as refunds_at from model_quotas
      where model in (select model from correction) order by model for update
    ),
    parked as (
      insert into quota_places (task_id, model, at)
      select task_id, model, now() from correction where task_id is not null
      on conflict (task_id) do update set model = excluded.model, at = excluded.at
    ),
    total as (
      select model, sum(settle_s) as settle_s, sum(request_s) as request_s, sum(token_s) as token_s,
        sum(greatest(request_s, token_s)) as cost_s, max(patience_s) as patience_s
      from correction group by model
    ),
    refund as (
      select total.*, refunds_at,
        coalesce(least(1, extract(epoch from now() - refunds_at)::float8 / 2 / nullif(cost_s, 0)), 0) as share
      from total join locked on locked.model = total.model
    )
    update model_quotas q set
      requests_at = greatest(
        q.requests_at - share * request_s * interval '1 second',
        case when patience_s > 0 then now() + patience_s * interval '1 second' end
      ),
      tokens_at = q.tokens_at + (settle_s - share * token_s) * interval '1 second',
      refunds_at = refund.refunds_at + 2 * share * cost_s * interval '1 second'
    from refund where q.model = refund.model`.execute(db);
  return corrections.map(() => undefined);
}
