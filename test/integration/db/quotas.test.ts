/** Quotas on a real PostgreSQL: all workers together begin no more calls than a minute allows, and nobody is forgotten. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { sql } from 'kysely';
import { createModelQuotas, type ModelCall, type QuotaAnswer } from '#shared/db/models/quotas.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { beforeStop, testDatabase } from '../../support/database/postgres.ts';
import { connect } from '../../support/webhooks/webhooks.ts';

const database = await testDatabase();
const db = connect(database.url);
beforeStop(() => db.destroy().then(() => database.close()));
const quotas = createModelQuotas(db);

const perSecond = 10;
/** Each test has a model of its own. */
function callsOf(limits: Partial<ModelCall> = { requestsPerMinute: 60 * perSecond }) {
  const model = `gemini-${randomUUID()}`;
  return (more: Partial<ModelCall> = {}): ModelCall => ({
    taskId: uuidv7(),
    model,
    tokens: 0,
    ...limits,
    ...more,
  });
}

const waits = (answers: readonly QuotaAnswer[], kind: QuotaAnswer['kind']) =>
  answers.flatMap((one) => (one.kind === kind ? [one.waitMs] : [])).toSorted((a, b) => a - b);

/** As if so much time had passed for a model. */
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

/** A wait counts from its answer: it is shorter by the time since all began, or less. */
function assertWait(waitMs: number | undefined, expectedMs: number, from: number, slackMs = 10): void {
  const since = performance.now() - from;
  const wait = waitMs ?? NaN;
  assert.ok(
    wait <= expectedMs + slackMs && wait >= expectedMs - slackMs - since,
    `${wait} ms instead of ${expectedMs}, ${since} ms after all began`,
  );
}

function assertSpaced(times: readonly number[], gapMs: number): void {
  for (const [index, time] of times.entries()) {
    const before = times[index - 1];
    if (before !== undefined) assert.ok(time - before >= gapMs * 0.99, `${time - before} ms apart`);
  }
}

test('calls of one moment begin one after the other; those beyond five seconds are parked, each to a time of its own', async () => {
  const call = callsOf();
  const from = performance.now();
  const answers = await Promise.all(Array.from({ length: 120 }, () => quotas.take(call())));
  const granted = waits(answers, 'granted');
  // While they are asked for, time goes on.
  const most = 52 + ((performance.now() - from) / 1000) * perSecond;
  assert.ok(granted.length >= 50 && granted.length <= most, `${granted.length} granted`);
  assert.ok((granted.at(-1) ?? 0) <= 5000);
  const parked = waits(answers, 'parked');
  assertSpaced(parked, 1000 / perSecond);
  // They come back three seconds before their time.
  assertWait(parked[0], 2050, from, 60);
  assertWait(parked.at(-1), 11_900 - 3000, from);
});

/** When all is paid that was granted so far, in seconds: a moment, whatever the time is now. */
async function paidAt(model: string): Promise<number> {
  const { rows } = await sql<{ at: number }>`
    select extract(epoch from requests_at)::float8 as at from model_quotas where model = ${model}`.execute(
    db,
  );
  return rows[0]?.at ?? NaN;
}

test('workers share one quota: what each is granted, all have paid', async () => {
  const call = callsOf();
  const others = Array.from({ length: 3 }, () => connect(database.url));
  const workers = [quotas, ...others.map((other) => createModelQuotas(other))];
  await quotas.take(call());
  const before = await paidAt(call().model);
  await Promise.all(
    workers.map(async (worker) => {
      for (let made = 0; made < 10; made++) assert.equal((await worker.take(call())).kind, 'granted');
    }),
  );
  const paid = (await paidAt(call().model)) - before;
  await Promise.all(others.map((other) => other.destroy()));
  assert.ok(Math.abs(paid - 40 / perSecond) < 0.001, `40 calls were paid with ${paid} s`);
});

test('the parked come first when they are back; a newcomer goes behind those that are still away', async () => {
  const call = callsOf();
  const { model } = call();
  const first = await Promise.all(
    Array.from({ length: 200 }, () => call()).map(async (one) => ({ one, answer: await quotas.take(one) })),
  );
  const parked = first
    .filter(({ answer }) => answer.kind === 'parked')
    .toSorted((a, b) => a.answer.waitMs - b.answer.waitMs);
  await pass(model, 5.2);
  // Nothing is owed any more, yet 20 are back, whose time it is.
  const back = parked.slice(0, 20);
  const together = await Promise.all([quotas.take(call()), ...back.map(({ one }) => quotas.take(one))]);
  assert.ok(together.every(({ kind }) => kind === 'granted'));
  const [newcomer, ...returned] = together.map(({ waitMs }) => waitMs);
  assert.ok(
    returned.every((waitMs) => waitMs < (newcomer ?? 0)),
    'the newcomer, of the same moment, is behind them',
  );
  const late = await quotas.take(call());
  assert.equal(late.kind, 'parked', 'now something is owed, and others wait');
  assert.ok(late.waitMs > 1000);
  const early = await quotas.take(parked.at(-1)!.one);
  assert.equal(early.kind, 'parked', 'whoever is back before its time goes on waiting for it');
  assert.equal((await quotas.take(parked[20]!.one)).kind, 'granted');
});

test('a queue that nobody comes back from holds nobody up', async () => {
  const call = callsOf();
  await Promise.all(Array.from({ length: 1000 }, () => quotas.take(call())));
  await pass(call().model, 5.1);
  const next = await quotas.take(call());
  assert.deepEqual([next.kind, next.waitMs], ['granted', 0]);
  await pass(call().model, 10);
  const burst = await Promise.all(Array.from({ length: 60 }, () => quotas.take(call())));
  assert.ok(
    burst.every(({ kind }) => kind === 'granted'),
    'the queue is forgotten',
  );
});

test('where the queue is late, those who come back all at once are spread', async () => {
  const call = callsOf();
  const all = Array.from({ length: 600 }, () => call());
  await Promise.all(all.map((one) => quotas.take(one)));
  await pass(call().model, 120);
  const parked = waits(await Promise.all(all.map((one) => quotas.take(one))), 'parked');
  assert.ok(parked.length > 400);
  assert.ok(
    parked.filter((ms) => ms < 10_000).length < parked.length / 2,
    'fewer than half within ten seconds',
  );
});

test('tokens: by an estimate first, settled by what they were', async () => {
  const call = callsOf({ tokensPerMinute: 60_000 });
  const ask = (tokens: number) => call({ tokens });
  const from = performance.now();
  assert.equal((await quotas.take(ask(3000))).waitMs, 0);
  const second = ask(1000);
  const { waitMs } = await quotas.take(second);
  assertWait(waitMs, 3000, from); // the three seconds of the first
  await quotas.settle(second, 0);
  assert.ok((await quotas.take(ask(1))).waitMs <= 3000, 'the second took none');
  await quotas.settle(second, 61_000);
  assert.equal((await quotas.take(ask(1))).kind, 'parked', 'or a minute more than estimated');
});

test('a refused call is refunded, and its task comes before newcomers', async () => {
  const call = callsOf();
  const { model } = call();
  const refused = call();
  await quotas.take(refused);
  await Promise.all(Array.from({ length: 90 }, () => quotas.take(call())));
  await pass(model, 2);
  const before = await paidAt(model);
  await quotas.giveBack(refused, 0);
  const refunded = before - (await paidAt(model));
  assert.ok(Math.abs(refunded - 1 / perSecond) < 0.001, `${refunded} s`);
  assert.equal((await quotas.take(call())).kind, 'parked');
  assert.equal((await quotas.take(refused)).kind, 'granted');
});

test('a model that refuses everything has half as many calls again, and not more', async () => {
  const call = callsOf();
  const { model } = call();
  await quotas.take(call());
  await pass(model, 60);
  const calls = Array.from({ length: 50 }, () => call());
  await Promise.all(calls.map((one) => quotas.take(one)));
  const before = await paidAt(model);
  const from = performance.now();
  await Promise.all(calls.map((one) => quotas.giveBack(one, 0)));
  const since = (performance.now() - from) / 1000;
  const refunded = before - (await paidAt(model));
  // Half of the last five seconds, since what was saved before is lost; and of the time that this took.
  assert.ok(refunded > 2.49 && refunded < 2.51 + since / 2, `${refunded} s`);
});

for (const limits of [{}, { requestsPerMinute: 60 * perSecond }]) {
  test(`patience that the model asks for is everybody's: ${JSON.stringify(limits)}`, async () => {
    const call = callsOf(limits);
    const refused = call();
    assert.deepEqual(await quotas.take(refused), { kind: 'granted', waitMs: 0 });
    const from = performance.now();
    await quotas.giveBack(refused, 20_000);
    const answers = await Promise.all(Array.from({ length: 100 }, () => quotas.take(call())));
    const since = performance.now() - from;
    const parked = waits(answers, 'parked');
    assert.equal(parked.length, 100);
    const [first = 0, last = 0] = [parked[0], parked.at(-1)];
    assert.ok(first >= 17_000 - since, `the first comes back after ${first} ms`);
    assert.ok(last - first >= 3000 && last - first <= 11_000, `the last ${last - first} ms after the first`);
    await pass(call().model, 30);
    const after = await Promise.all(Array.from({ length: 10 }, () => quotas.take(call())));
    assert.ok(after.every(({ kind }) => kind === 'granted'));
  });
}

test('many models in one set, from two workers that name them in other orders', async () => {
  const calls = Array.from({ length: 6 }, () => callsOf());
  const other = connect(database.url);
  const workers = [quotas, createModelQuotas(other)];
  const rounds = Array.from({ length: 30 }, (_, round) =>
    workers.map((worker, at) =>
      Promise.all(
        (at === 0 ? calls : calls.toReversed()).map((call) => worker.take(call({ tokens: round }))),
      ),
    ),
  );
  const answers = (await Promise.all(rounds.flat())).flat();
  await other.destroy();
  assert.equal(answers.length, 30 * 2 * 6);
  assert.equal(answers.filter(({ kind }) => kind === 'granted').length >= 6 * 50, true);
});
