/** The webhooks extension on real processes: options, secrets, deliveries. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { Webhook } from 'standardwebhooks';
import { webhooksExtensionUri } from '#shared/webhooks/extension.ts';
import { createSigningSecret } from '#shared/webhooks/secrets.ts';
import { getMessageId } from '#shared/webhooks/message-id.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { checkAnswers } from '../../support/clients/openapi.ts';
import { freePort } from '../../support/network/ports.ts';
import { createRawGrpc, createRawJsonRpc, createRawRest } from '../../support/clients/raw-bindings.ts';
import { scriptedAgent } from '../../support/services/scripted-stack.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';
import { startReceiver, type Received, toHeaders } from '../../support/webhooks/receiver.ts';
import { createSigningJwk } from '../../support/webhooks/signing.ts';
import type { AnyJson as Json } from '../../support/clients/any-json.ts';

const header = 'Longhaul-Webhook-Options';
const terminal = 'TASK_STATE_COMPLETED';

describe('webhooks extension', { timeout: 120_000 }, () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let grpcPort: number;

  before(async () => {
    grpcPort = await freePort();
    stack = await startStack(cleanup, {
      AGENT_MODULE: scriptedAgent,
      GRPC_PORT: String(grpcPort),
      WEBHOOK_SIGNING_KEYS: JSON.stringify({ keys: [createSigningJwk('one'), createSigningJwk('two')] }),
      WEBHOOK_SCHEDULE_SECONDS: '0,0.05',
      WEBHOOK_REQUESTS_PER_MINUTE: '60',
      OWNER_MAX_WEBHOOK_BYTES_PER_HOUR: '1000000000',
    });
    await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
    await checkAnswers(cleanup, stack.apiUrl);
  });
  test('reads options from the metadata of SendMessage without storing the secret', async (t) => {
    const receiver = await startReceiver(t);
    const secret = createSigningSecret();
    const { id } = await submit(stack, receiver.url, { events: 'end', secret }, { other: 1 });
    const [webhook] = await receiver.count(1);
    const body = new Webhook(secret).verify(webhook!.body, toHeaders(webhook!)) as Json;
    assert.equal(body.task.status.state, terminal);
    const event = Number(webhook!.headers['longhaul-event']);
    const facts = { events: 'end', event, audience: receiver.url };
    assert.deepEqual(body.task.metadata, { other: 1, [webhooksExtensionUri]: facts });
    const { result } = await stack.rpc('GetTask', { id });
    assert.deepEqual(result.metadata, { other: 1, [webhooksExtensionUri]: { events: 'end' } });
    const { rows } = await stack.pool.query(
      'select row_to_json(t)::text as text from tasks t where id = $1',
      [id],
    );
    assert.ok(!rows[0].text.includes(secret));
    await assert.rejects(
      stack.submit('hello', { metadata: { [webhooksExtensionUri]: { event: 'all' } } }),
      /metadata\["https:.*"\]: "event" is not a valid option/,
    );
  });

  test('reads options from a header in every binding', async (t) => {
    const bindings = [
      createRawJsonRpc(stack.apiUrl),
      createRawRest(stack.apiUrl),
      createRawGrpc(`127.0.0.1:${grpcPort}`),
    ];
    t.after(() => bindings.forEach((binding) => binding.close()));
    const { id: taskId } = await stack.submit('hello');
    await stack.until(taskId, ({ status }) => status.state === terminal);
    for (const { name, call } of bindings) {
      const receiver = await startReceiver(t);
      const secret = createSigningSecret();
      const create = (options: string) =>
        call(
          'CreateTaskPushNotificationConfig',
          { taskId, id: name, url: receiver.url },
          { [header]: options },
        );
      const { error } = await create(JSON.stringify({ events: 'all', secret }));
      assert.equal(error, undefined, name);
      const [webhook] = await receiver.count(1);
      new Webhook(secret).verify(webhook!.body, toHeaders(webhook!));
      const shown = await callRest(stack, `/tasks/${taskId}/webhooks/${encodeURIComponent(name)}`);
      const { events, order, hasSecret, state } = shown.body;
      assert.deepEqual([events, order, hasSecret, state], ['all', 'strict', true, 'active']);
      for (const bad of ['nonsense', '{"order":"fast"}']) {
        const { error } = await create(bad);
        assert.match(error?.message ?? '', /longhaul-webhook-options/, name);
      }
    }
    const { body } = await callRest(stack, `/tasks/${taskId}/webhooks`);
    assert.deepEqual(
      body.webhooks.map((item: Json) => item.id),
      ['GRPC', 'HTTP+JSON', 'JSONRPC'],
    );
  });

  test('serves the key set that verifies a token', async (t) => {
    const receiver = await startReceiver(t);
    await submit(stack, receiver.url, {});
    const [webhook] = await receiver.count(1);
    const jwks = createRemoteJWKSet(new URL(`${stack.apiUrl}/.well-known/webhook-jwks.json`));
    const token = String(webhook!.headers.authorization).slice('Bearer '.length);
    const { protectedHeader } = await jwtVerify(token, jwks, {
      issuer: stack.apiUrl,
      audience: receiver.url,
    });
    assert.equal(protectedHeader.kid, 'one');
    const served: Json = await (await fetch(`${stack.apiUrl}/.well-known/webhook-jwks.json`)).json();
    assert.deepEqual(
      served.keys.map((key: Json) => [key.kid, key.d]),
      [
        ['one', undefined],
        ['two', undefined],
      ],
    );
  });

  test('lists failed deliveries and redelivers them', async (t) => {
    const receiver = await startReceiver(t);
    receiver.answer(500);
    const since = new Date(Date.now() - 1000).toISOString();
    const { id } = await submit(stack, receiver.url, {});
    const hook = `/tasks/${id}/webhooks/hook`;
    await waitFor('the disabled config', async () => (await callRest(stack, hook)).body.state === 'disabled');
    await stack.until(id, ({ status }) => status.state === terminal);
    const disabled = (await callRest(stack, hook)).body;
    assert.match(disabled.disabledReason, /2 attempts in a row have failed; the last: status 500/);
    await receiver.count(2);

    const listFailed = async () => (await callRest(stack, `${hook}/deliveries?state=failed`)).body;
    // The events behind the failed one fail in a statement of their own, after it.
    await waitFor('three failed events', async () => (await listFailed()).deliveries.length === 3);
    const failed = await listFailed();
    const first = failed.deliveries.at(-1);
    assert.equal(first.event, 1);
    assert.equal(first.webhookId, getMessageId({ taskId: id, configId: 'hook', seq: 1 }));
    assert.deepEqual(
      first.attempts.map((attempt: Json) => [attempt.attempt, attempt.status]),
      [
        [1, 500],
        [2, 500],
      ],
    );
    assert.ok(Date.parse(first.attempts[0].startedAt) > Date.parse(since));

    receiver.answer(200);
    const redelivered = await callRest(stack, `${hook}/deliveries/1/redeliver`, {});
    assert.deepEqual([redelivered.status, redelivered.body], [200, { count: 1 }]);
    const third = (await receiver.count(3))[2]!;
    assert.equal(third.headers['webhook-id'], getMessageId({ taskId: id, configId: 'hook', seq: 1 }));
    await waitFor(
      'one delivered event',
      async () => (await callRest(stack, `${hook}/deliveries?state=delivered`)).body.deliveries.length === 1,
    );
    assert.equal((await callRest(stack, hook)).body.state, 'active');

    // The events behind the failed one have failed too. They are sent in order, including the end of the
    // task.
    const others = failed.deliveries.length - 1;
    const all = await callRest(stack, `${hook}/redeliver`, { since });
    assert.deepEqual([all.status, all.body], [200, { count: others }]);
    const sent = (await receiver.count(3 + others)).slice(3);
    assert.deepEqual(receiver.events().slice(3), [2, 3]);
    assert.equal(JSON.parse(sent.at(-1)!.body).task.status.state, terminal);
    const none = await callRest(stack, `${hook}/redeliver`, {
      since: new Date(Date.now() + 60_000).toISOString(),
    });
    assert.deepEqual(none.body, { count: 0 });
  });

  test('pages deliveries, the newest first', async (t) => {
    const receiver = await startReceiver(t);
    const { id } = await submit(stack, receiver.url, { events: 'all' });
    await stack.until(id, ({ status }) => status.state === terminal);
    const path = `/tasks/${id}/webhooks/hook/deliveries`;
    const whole = (await callRest(stack, path)).body.deliveries.map((item: Json) => item.event);
    assert.ok(whole.length >= 3);
    const paged: number[] = [];
    for (let token = ''; ;) {
      const { body } = await callRest(stack, `${path}?pageSize=2&pageToken=${token}`);
      paged.push(...body.deliveries.map((item: Json) => item.event));
      token = body.nextPageToken;
      if (token === '') break;
    }
    assert.deepEqual(paged, whole);
    assert.deepEqual(
      whole,
      whole.toSorted((a: number, b: number) => b - a),
    );
    for (const query of ['pageSize=0', 'pageSize=101', 'pageToken=x', 'state=lost']) {
      assert.equal((await callRest(stack, `${path}?${query}`)).status, 400, query);
    }
  });

  test('sends a test once, and does not count its failure', async (t) => {
    const receiver = await startReceiver(t);
    const { id } = await submit(stack, receiver.url, { events: 'end' });
    await receiver.count(1);
    const hook = `/tasks/${id}/webhooks/hook`;
    receiver.answer(500);
    assert.deepEqual((await callRest(stack, `${hook}/test`, {})).body, { count: 1 });
    await receiver.count(2);
    await waitFor(
      'one failed delivery',
      async () => (await callRest(stack, `${hook}/deliveries?state=failed`)).body.deliveries.length === 1,
    );
    assert.equal((await callRest(stack, hook)).body.failuresInARow, 0);
    receiver.answer(200);
    await callRest(stack, `${hook}/test`, {});
    const [, first, second] = await receiver.count(3);
    for (const [webhook, number] of [
      [first, -1],
      [second, -2],
    ] as const) {
      assert.equal(webhook!.headers['longhaul-test'], 'true');
      assert.equal(webhook!.headers['longhaul-event'], undefined);
      assert.equal(
        webhook!.headers['webhook-id'],
        getMessageId({ taskId: id, configId: 'hook', seq: number }),
      );
      const { statusUpdate } = JSON.parse(webhook!.body);
      assert.equal(statusUpdate.status.state, terminal);
      const facts = { test: true, audience: receiver.url };
      assert.deepEqual(statusUpdate.metadata, { [webhooksExtensionUri]: facts });
    }
    await waitFor('all deliveries to be settled', async () => {
      const { body } = await callRest(stack, `${hook}/deliveries`);
      return body.deliveries.every((item: Json) => item.state !== 'pending');
    });
    const { body } = await callRest(stack, `${hook}/deliveries`);
    assert.deepEqual(
      body.deliveries.map((item: Json) => [item.event ?? 'test', item.state, item.attempts.length]).slice(1),
      [
        ['test', 'failed', 1],
        ['test', 'delivered', 1],
      ],
    );
    const { state, failuresInARow } = (await callRest(stack, hook)).body;
    assert.deepEqual([state, failuresInARow], ['active', 0]);
  });

  test('sends tests that change neither events nor their config', async (t) => {
    const receiver = await startReceiver(t);
    const { id } = await submit(stack, receiver.url, { events: 'end' });
    await receiver.count(1);
    const hook = `/tasks/${id}/webhooks/hook`;
    await waitFor(
      'the delivery to be recorded',
      async () => (await callRest(stack, `${hook}/deliveries?state=delivered`)).body.deliveries.length === 1,
    );
    const update = (table: string, change: string) =>
      stack.pool.query(`update ${table} set ${change} where task_id = $1`, [id]);
    await update(
      'deliveries',
      `state = 'pending', settled_at = null, failures = 1, due_at = now() + interval '1 hour',
       wakeup_at = now() + interval '1 hour'`,
    );
    await update('webhook_configs', 'failures = 1');
    const read = async () => {
      const { rows } = await stack.pool.query(
        `select to_jsonb(d) - 'wakeup_at' as event, c.failures, c.disabled_at from deliveries d join webhook_configs c using (task_id)
         where d.task_id = $1 and d.seq > 0`,
        [id],
      );
      return rows;
    };
    const before = await read();
    const sendTests = async (count: number, state: string, total: number): Promise<void> => {
      for (let sent = 0; sent < count; sent += 1) await callRest(stack, `${hook}/test`, {});
      await waitFor(`${total} ${state} tests`, async () => {
        const { body } = await callRest(stack, `${hook}/deliveries?state=${state}`);
        return body.deliveries.length === total;
      });
    };
    receiver.answer(0);
    await sendTests(11, 'failed', 11);
    assert.deepEqual(await read(), before);
    // Receivers that fail ten times in a row get fewer attempts, but not for tests.
    const sent = receiver.received.length;
    receiver.answerBy(() => undefined);
    await callRest(stack, `${hook}/test`, {});
    await receiver.count(sent + 1);
    await update('deliveries', `due_at = now(), wakeup_at = case when seq > 0 then now() else wakeup_at end`);
    await waitFor(
      'the event, which does not wait for a test in flight',
      () => receiver.received.filter(({ headers }) => headers['longhaul-event'] !== undefined).length === 2,
    );
  });

  test('keeps the failures of a config when a test succeeds', async (t) => {
    const receiver = await startReceiver(t);
    const { id } = await submit(stack, receiver.url, { events: 'end' });
    await receiver.count(1);
    const hook = `/tasks/${id}/webhooks/hook`;
    const isDelivered = (count: number) => async () =>
      (await callRest(stack, `${hook}/deliveries?state=delivered`)).body.deliveries.length === count;
    await waitFor('the event', isDelivered(1));
    await stack.pool.query('update webhook_configs set failures = 1 where task_id = $1', [id]);
    await callRest(stack, `${hook}/test`, {});
    await waitFor('the test', isDelivered(2));
    assert.equal((await callRest(stack, hook)).body.failuresInARow, 1);
  });

  test('makes events due now that wait for their retry, when it redelivers since a time', async (t) => {
    for (const order of ['strict', 'none']) {
      const receiver = await startReceiver(t);
      const { id } = await submit(stack, receiver.url, { order });
      await stack.until(id, ({ status }) => status.state === terminal);
      await receiver.count(3);
      const hook = `/tasks/${id}/webhooks/hook`;
      await waitFor(
        'the deliveries to be recorded',
        async () =>
          (await callRest(stack, `${hook}/deliveries?state=delivered`)).body.deliveries.length === 3,
      );
      await stack.pool.query(
        `update deliveries set state = 'pending', settled_at = null, failures = 1, due_at = now() + interval '5 hours',
         wakeup_at = now() + interval '5 hours' where task_id = $1 and seq > 1`,
        [id],
      );
      const since = (ms: number) => ({ since: new Date(Date.now() + ms).toISOString() });
      assert.deepEqual((await callRest(stack, `${hook}/redeliver`, since(60_000))).body, { count: 0 });
      assert.deepEqual((await callRest(stack, `${hook}/redeliver`, since(-60_000))).body, { count: 2 });
      await receiver.count(5);
      assert.deepEqual(new Set(receiver.events().slice(3)), new Set([2, 3]), order);
    }
  });

  test('replaces a secret with overlap, and returns it once', async (t) => {
    const receiver = await startReceiver(t);
    const { id } = await submit(stack, receiver.url, { events: 'end' });
    const hook = `/tasks/${id}/webhooks/hook`;
    await receiver.count(1);
    const first = (await callRest(stack, `${hook}/secret`, {})).body.secret;
    const sendTest = async (count: number): Promise<Received> => {
      await callRest(stack, `${hook}/test`, {});
      return (await receiver.count(count))[count - 1]!;
    };
    const byFirst = await sendTest(2);
    new Webhook(first).verify(byFirst.body, toHeaders(byFirst));
    const second = createSigningSecret();
    assert.deepEqual((await callRest(stack, `${hook}/secret`, { secret: second })).body, { secret: second });
    const byBoth = await sendTest(3);
    for (const secret of [first, second]) new Webhook(secret).verify(byBoth.body, toHeaders(byBoth));
    const third = (await callRest(stack, `${hook}/secret`, { overlapSeconds: 0 })).body.secret;
    const byThird = await sendTest(4);
    new Webhook(third).verify(byThird.body, toHeaders(byThird));
    assert.throws(() => new Webhook(second).verify(byThird.body, toHeaders(byThird)));
    const shown = JSON.stringify([
      await callRest(stack, hook),
      await callRest(stack, `/tasks/${id}/webhooks`),
    ]);
    assert.ok(!shown.includes('whsec_'));
    for (const bad of [{ secret: 'whsec_x' }, { secret: 1 }, { overlapSeconds: -1 }]) {
      assert.equal((await callRest(stack, `${hook}/secret`, bad)).status, 400);
    }
  });

  test('refuses redeliveries and tests beyond the limits of an owner', async (t) => {
    const receiver = await startReceiver(t);
    const { id } = await submit(stack, receiver.url, { events: 'end' });
    await receiver.count(1);
    const { rows } = await stack.pool.query('select owner from tasks where id = $1', [id]);
    const { owner } = rows[0];
    const hook = `/tasks/${id}/webhooks/hook`;
    const refused: [string, object][] = [
      [`${hook}/test`, {}],
      [`${hook}/deliveries/3/redeliver`, {}],
    ];
    const setClock = (clock: string) =>
      stack.pool.query(
        `insert into webhook_requests (owner, at) values ($1, now() + $2::interval)
        on conflict (owner) do update set at = excluded.at`,
        [owner, clock],
      );
    await setClock('10 minutes');
    for (const [path, body] of refused) {
      const { status, retryAfter, body: answer } = await callRest(stack, path, body);
      assert.equal(status, 429, JSON.stringify(answer));
      assert.ok(retryAfter > 500 && retryAfter <= 600, `${retryAfter} s`);
      assert.match(answer.error.message, /Too many requests for webhooks/);
    }
    await setClock('0');
    const hour = new Date(Math.floor(Date.now() / 3_600_000) * 3_600_000);
    await stack.pool.query(
      `insert into webhook_usage (owner, hour, bytes) values ($1, $2, 1e9)
      on conflict (owner, hour) do update set bytes = 1e9`,
      [owner, hour],
    );
    t.after(() => stack.pool.query('delete from webhook_usage'));
    for (const [path, body] of refused) {
      const { status, retryAfter, body: answer } = await callRest(stack, path, body);
      assert.equal(status, 429, JSON.stringify(answer));
      assert.ok(retryAfter >= 1 && retryAfter <= 3_600, `${retryAfter} s`);
      assert.match(answer.error.message, /1000000000 bytes .* in this hour/);
      const [info, retry] = answer.error.details;
      assert.equal(info.reason, 'OWNER_LIMIT_EXCEEDED');
      assert.equal(info.metadata.limit, 'webhookBytesPerHour');
      assert.equal(info.metadata.used, '1000000000');
      assert.equal(retry.retryDelay, `${retryAfter}s`);
    }
    assert.equal(receiver.received.length, 1);
  });

  test('answers 404 for what does not exist or belongs to another tenant', async (t) => {
    const receiver = await startReceiver(t);
    const { id } = await submit(stack, receiver.url, {});
    const paths: [string, object?][] = [
      [`/tasks/${randomUUID()}/webhooks`],
      ['/tasks/nonsense/webhooks'],
      [`/tasks/${id}/webhooks/other`],
      [`/tasks/${id}/webhooks/other/deliveries`],
      [`/tasks/${id}/webhooks/hook/deliveries/99/redeliver`, {}],
      [`/tasks/${id}/webhooks/hook/deliveries/x/redeliver`, {}],
      [`/tasks/${id}/webhooks/other/test`, {}],
      [`/tasks/${id}/webhooks/other/secret`, {}],
      [`/tasks/${id}/webhooks/other/redeliver`, { since: '2030-01-01' }],
      ...['', '/hook', '/hook/deliveries'].map((rest): [string] => [`/acme/tasks/${id}/webhooks${rest}`]),
      [`/acme/tasks/${id}/webhooks/hook/test`, {}],
      [`/acme/tasks/${id}/webhooks/hook/secret`, {}],
      [`/acme/tasks/${id}/webhooks/hook/deliveries/1/redeliver`, {}],
    ];
    for (const [path, body] of paths) {
      const answer = await callRest(stack, path, body);
      assert.deepEqual([path, answer.status], [path, 404]);
      assert.equal(answer.body.error.status, 'NOT_FOUND');
    }
    assert.equal(
      (await callRest(stack, `/tasks/${id}/webhooks/hook/redeliver`, { since: 'then' })).status,
      400,
    );
  });
});

async function submit(stack: Stack, url: string, options: object, metadata: object = {}) {
  return stack.submit('hello', {
    configuration: { taskPushNotificationConfig: { id: 'hook', url } },
    metadata: { ...metadata, [webhooksExtensionUri]: options },
  });
}

async function callRest(stack: Stack, path: string, body?: object) {
  const response = await fetch(`${stack.apiUrl}/a2a/v1${path}`, {
    headers: { 'a2a-version': '1.0', 'content-type': 'application/json' },
    ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
  });
  const retryAfter = Number(response.headers.get('retry-after'));
  return { status: response.status, retryAfter, body: (await response.json()) as Json };
}
