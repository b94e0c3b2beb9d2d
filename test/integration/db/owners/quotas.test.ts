/** Model quotas on a real PostgreSQL: all workers share one quota, and no task starves. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { sql } from 'kysely';
import type { Db } from '#shared/db/client/pool.ts';
import {
  createModelQuotas,
  type ModelCall,
  type ModelQuotas,
  type QuotaAnswer,
  type Refusal,
} from '#shared/db/models/quotas.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { connectTo, connectToTestDatabase } from '../../../support/database/postgres.ts';

const perSecond = 10;

/** A first refusal, with the wait that the model asks for. */
const refusal = (retryAfterMs: number, more: Partial<Refusal> = {}): Refusal => ({
  retryAfterMs,
  refusedAt: undefined,
  tokens: 100,
  ...more,
});

describe('model quotas', () => {
  let db: Db;
  let url: string;
  let quotas: ModelQuotas;
  before(async () => {
    ({ db, url } = await connectToTestDatabase());
    quotas = createModelQuotas(db);
  });

  /** Builds calls of a new model. */
  function createCalls(limits: Partial<ModelCall> = { requestsPerMinute: 60 * perSecond }) {
    const model = `gemini-${randomUUID()}`;
    return (more: Partial<ModelCall> = {}): ModelCall => ({
      taskId: uuidv7(),
      model,
      tokens: 0,
      ...limits,
      ...more,
    });
  }

  /** Requests this many calls at once. */
  const takeMany = (call: () => ModelCall, count: number) =>
    Promise.all(Array.from({ length: count }, () => quotas.take(call())));

  const getWaits = (answers: readonly QuotaAnswer[], kind: QuotaAnswer['kind']) =>
    answers.flatMap((answer) => (answer.kind === kind ? [answer.waitMs] : [])).toSorted((a, b) => a - b);

  /** Moves the clocks of a model back, as if this much time had passed. */
  async function pass(model: string, seconds: number): Promise<void> {
    const earlier = (column: string) => sql<Date>`${sql.ref(column)} - ${seconds} * interval '1 second'`;
    await db
      .updateTable('model_quotas')
      .set({
        requests_at: earlier('requests_at'),
        tokens_at: earlier('tokens_at'),
        queue_at: earlier('queue_at'),
        refunds_at: earlier('refunds_at'),
      })
      .where('model', '=', model)
      .execute();
    await db
      .updateTable('quota_places')
      .set({ at: earlier('at') })
      .where('model', '=', model)
      .execute();
  }

  /** Reads when everything granted so far is paid, in seconds since the epoch. */
  async function readPaidAt(model: string): Promise<number> {
    const { rows } = await sql<{ at: number }>`
      select extract(epoch from requests_at)::float8 as at from model_quotas where model = ${model}`.execute(
      db,
    );
    return rows[0]?.at ?? NaN;
  }

  /** A wait starts at its answer, so it may be shorter by the time since all calls started. */
  function assertWait(waitMs: number | undefined, expectedMs: number, from: number, slackMs = 10): void {
    const since = performance.now() - from;
    const wait = waitMs ?? NaN;
    assert.ok(
      wait <= expectedMs + slackMs && wait >= expectedMs - slackMs - since,
      `${wait} ms instead of ${expectedMs}, ${since} ms after the start`,
    );
  }

  function assertSpaced(times: readonly number[], gapMs: number): void {
    for (const [index, time] of times.entries()) {
      const previous = times[index - 1];
      if (previous !== undefined) assert.ok(time - previous >= gapMs * 0.99, `${time - previous} ms apart`);
    }
  }

  test('spaces simultaneous calls and parks those beyond five seconds', async () => {
    const call = createCalls();
    const from = performance.now();
    const answers = await takeMany(call, 120);
    const granted = getWaits(answers, 'granted');
    // Time passes while the calls are made.
    const most = 52 + ((performance.now() - from) / 1000) * perSecond;
    assert.ok(granted.length >= 50 && granted.length <= most, `${granted.length} granted`);
    assert.ok((granted.at(-1) ?? 0) <= 5000);
    const parked = getWaits(answers, 'parked');
    assertSpaced(parked, 1000 / perSecond);
    // Parked tasks return three seconds early.
    assertWait(parked[0], 2050, from, 60);
    assertWait(parked.at(-1), 11_900 - 3000, from);
  });

  test('charges the calls of all workers to one quota', async () => {
    const call = createCalls();
    const { model } = call();
    const workers = [quotas, ...[1, 2, 3].map(() => createModelQuotas(connectTo(url).db))];
    await quotas.take(call());
    const paidBefore = await readPaidAt(model);
    await Promise.all(
      workers.map(async (worker) => {
        for (let round = 0; round < 10; round++) {
          assert.equal((await worker.take(call())).kind, 'granted');
        }
      }),
    );
    const paid = (await readPaidAt(model)) - paidBefore;
    assert.ok(Math.abs(paid - 40 / perSecond) < 0.001, `40 calls were paid with ${paid} s`);
  });

  test('serves returning tasks first, and new calls after those that are still parked', async () => {
    const call = createCalls();
    const { model } = call();
    const first = await Promise.all(
      Array.from({ length: 200 }, () => call()).map(async (parked) => ({
        parked,
        answer: await quotas.take(parked),
      })),
    );
    const parked = first
      .filter(({ answer }) => answer.kind === 'parked')
      .toSorted((a, b) => a.answer.waitMs - b.answer.waitMs)
      .map((entry) => entry.parked);
    await pass(model, 5.2);
    // No calls are owed any more, and the first 20 parked tasks return.
    const returning = parked.slice(0, 20);
    const together = await Promise.all([
      quotas.take(call()),
      ...returning.map((parkedCall) => quotas.take(parkedCall)),
    ]);
    assert.ok(together.every(({ kind }) => kind === 'granted'));
    const [newcomer, ...returned] = together.map(({ waitMs }) => waitMs);
    assert.ok(
      returned.every((waitMs) => waitMs < (newcomer ?? 0)),
      'the new call of the same moment starts after them',
    );
    const late = await quotas.take(call());
    assert.equal(late.kind, 'parked', 'something is owed now, and others wait');
    assert.ok(late.waitMs > 1000);
    const early = await quotas.take(parked.at(-1)!);
    assert.equal(early.kind, 'parked', 'a task that returns before its time keeps waiting');
    assert.equal((await quotas.take(parked[20]!)).kind, 'granted');
  });

  test('ignores abandoned places once nothing is owed', async () => {
    const call = createCalls();
    const { model } = call();
    await takeMany(call, 1000);
    await pass(model, 5.1);
    const next = await quotas.take(call());
    assert.deepEqual([next.kind, next.waitMs], ['granted', 0]);
    await pass(model, 10);
    const burst = await takeMany(call, 60);
    assert.ok(
      burst.every(({ kind }) => kind === 'granted'),
      'the queue is empty',
    );
  });

  test('spreads tasks that return all at once when the whole queue is late', async () => {
    const call = createCalls();
    const calls = Array.from({ length: 600 }, () => call());
    await Promise.all(calls.map((sent) => quotas.take(sent)));
    await pass(call().model, 120);
    const parked = getWaits(await Promise.all(calls.map((sent) => quotas.take(sent))), 'parked');
    assert.ok(parked.length > 400);
    assert.ok(
      parked.filter((ms) => ms < 10_000).length < parked.length / 2,
      'fewer than half within ten seconds',
    );
  });

  test('charges estimated tokens and corrects them when the actual tokens are known', async () => {
    const call = createCalls({ tokensPerMinute: 60_000 });
    const take = (tokens: number) => quotas.take(call({ tokens }));
    const from = performance.now();
    assert.equal((await take(3000)).waitMs, 0);
    const second = call({ tokens: 1000 });
    const { waitMs } = await quotas.take(second);
    assertWait(waitMs, 3000, from); // the three seconds of the first
    await quotas.settle(second, 0);
    assert.ok((await take(1)).waitMs <= 3000, 'the second took none');
    await quotas.settle(second, 61_000);
    assert.equal((await take(1)).kind, 'parked', 'it took a minute more than estimated');
  });

  test('refunds a rejected call and serves its task before new calls', async () => {
    const call = createCalls();
    const { model } = call();
    const rejected = call();
    await quotas.take(rejected);
    await takeMany(call, 90);
    await pass(model, 2);
    const paidBefore = await readPaidAt(model);
    await quotas.refund(rejected, refusal(0));
    const refunded = paidBefore - (await readPaidAt(model));
    assert.ok(Math.abs(refunded - 1 / perSecond) < 0.001, `${refunded} s`);
    assert.equal((await quotas.take(call())).kind, 'parked');
    assert.equal((await quotas.take(rejected)).kind, 'granted');
  });

  test('refunds at most half of the time when a model rejects everything', async () => {
    const call = createCalls();
    const { model } = call();
    await quotas.take(call());
    await pass(model, 60);
    const calls = Array.from({ length: 50 }, () => call());
    await Promise.all(calls.map((sent) => quotas.take(sent)));
    const paidBefore = await readPaidAt(model);
    const from = performance.now();
    await Promise.all(calls.map((sent) => quotas.refund(sent, refusal(0))));
    const since = (performance.now() - from) / 1000;
    const refunded = paidBefore - (await readPaidAt(model));
    // Half of the last five seconds, because earlier savings are lost, and half of the time that this took.
    assert.ok(refunded > 2.49 && refunded < 2.51 + since / 2, `${refunded} s`);
  });

  for (const [quota, limits] of [
    ['without a quota', {}],
    ['with a quota', { requestsPerMinute: 60 * perSecond }],
  ] as const) {
    test(`parks all calls during a pause that a model ${quota} asks for`, async () => {
      const call = createCalls(limits);
      const rejected = call();
      assert.deepEqual(await quotas.take(rejected), { kind: 'granted', waitMs: 0 });
      const from = performance.now();
      await quotas.refund(rejected, refusal(20_000));
      const answers = await takeMany(call, 100);
      const since = performance.now() - from;
      const parked = getWaits(answers, 'parked');
      assert.equal(parked.length, 100);
      const [first = 0, last = 0] = [parked[0], parked.at(-1)];
      assert.ok(first >= 17_000 - since, `the first returns after ${first} ms`);
      assert.ok(
        last - first >= 3000 && last - first <= 11_000,
        `the last returns ${last - first} ms after the first`,
      );
      await pass(call().model, 30);
      const after = await takeMany(call, 10);
      assert.ok(after.every(({ kind }) => kind === 'granted'));
    });
  }

  test('pauses only a request that the model keeps refusing while it answers others', async () => {
    const call = createCalls({});
    const tooLarge = call();
    await quotas.take(tooLarge);
    const refusedAt = new Date();
    assert.equal(await quotas.refund(tooLarge, refusal(20_000, { tokens: 5000 })), false);
    assert.equal((await quotas.take(call())).kind, 'parked', 'the first refusal pauses all');
    await pass(call().model, 60);
    await quotas.settle(call(), 1000);
    assert.equal(await quotas.refund(tooLarge, refusal(20_000, { refusedAt, tokens: 5000 })), true);
    assert.equal((await quotas.take(call())).kind, 'granted');
    await quotas.settle(call(), 6000);
    const crowded = await quotas.refund(tooLarge, refusal(20_000, { refusedAt, tokens: 5000 }));
    assert.equal(crowded, false, 'the model has answered a larger one');
    assert.equal((await quotas.take(call())).kind, 'granted');
  });

  test('serves two workers that name many models in different orders', async () => {
    const models = Array.from({ length: 6 }, () => createCalls());
    const workers = [quotas, createModelQuotas(connectTo(url).db)];
    const rounds = Array.from({ length: 30 }, (_, round) =>
      workers.map((worker, at) =>
        Promise.all(
          (at === 0 ? models : models.toReversed()).map((call) => worker.take(call({ tokens: round }))),
        ),
      ),
    );
    const answers = (await Promise.all(rounds.flat())).flat();
    assert.equal(answers.length, 30 * 2 * 6);
    assert.ok(answers.filter(({ kind }) => kind === 'granted').length >= 6 * 50);
  });
});
