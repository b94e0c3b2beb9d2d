/** Calls of the model that run at Google: no worker waits for them, and each is made and counted once. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { scheduleExtension } from '#services/api/extensions/schedule.ts';
import { signForProject } from '#services/local/offline-model/interactions/webhooks.ts';
import { serviceTierExtension } from '#shared/domain/service-tier.ts';
import { waitsExtension } from '#shared/domain/wait.ts';
import { writeAgentFile } from '../../support/agents/definition.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { callJsonRpc } from '../../support/clients/json-rpc.ts';
import {
  isCompleted,
  startStack,
  type RunningService,
  type Stack,
  type TaskJson,
} from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

const cleanup = createSuiteCleanup();
let stack: Stack;
let worker: RunningService;
/** Secrets of the webhooks that are registered for the project. */
const secrets = ['old', 'new'].map((name) => `whsec_${Buffer.from(name.repeat(9)).toString('base64')}`);
before(async () => {
  const model = { name: 'gemini-3.8-flash', api: 'interactions', background: 'always' };
  stack = await startStack(cleanup, { AGENT_FILE: writeAgentFile(cleanup, { model, tools: [] }) });
  const webhooks = {
    GEMINI_WEBHOOK_JWKS_URL: `${stack.model.url}/.well-known/jwks.json`,
    GEMINI_WEBHOOK_SECRETS: secrets.join(','),
  };
  [worker] = await Promise.all([stack.start('worker'), stack.start('api', webhooks)]);
});

const isWaiting = ({ status }: TaskJson) => status.message?.metadata?.[waitsExtension] !== undefined;
const find = (taskId: string) =>
  stack.model.interactions.list().filter(({ request }) => request.labels?.['longhaul_task'] === taskId);

/** Submits a task whose call takes some time, and returns its id once the turn is suspended, or has ended already. */
async function submit(text: string, delayMs: number): Promise<string> {
  stack.model.script([{ match: text, reactions: [{ delayMs, chunks: [`done ${text}`] }] }]);
  const { id } = await stack.submit(text);
  await stack.until(id, (task) => isWaiting(task) || isCompleted(task));
  return id;
}

async function assertDoneOnce(id: string, text: string): Promise<void> {
  const { artifacts } = await stack.until(id, isCompleted);
  assert.equal(artifacts?.[0]?.parts[0]?.text, `done ${text}`);
  assert.equal(find(id).length, 1);
  const { rows } = await stack.pool.query(
    `select count(usage)::int as used, count(*) filter (where name = 'interaction')::int as created
     from steps where task_id = $1`,
    [id],
  );
  assert.deepEqual(rows, [{ used: 1, created: 1 }]);
}

/** Returns the call that was reported to the wait of a task. */
const readReport = async (taskId: string): Promise<object[]> => {
  const query = `select wait ->> 'interaction' as interaction from steps where task_id = $1 and name = 'interaction-wait'`;
  return (await stack.pool.query<object>(query, [taskId])).rows;
};

const readGate = async (taskId: string) =>
  (await stack.pool.query('select * from gates where task_id = $1', [taskId])).rows[0];

describe('a call in the background', () => {
  test('survives its worker, holds no lease, and is counted once', async () => {
    const id = await submit('first', 2500);
    const { status } = await stack.until(id, isWaiting);
    assert.match(status.message.parts[0].text, /^Waiting for the model since 20/);
    const [wait] = status.message.metadata[waitsExtension];
    assert.deepEqual([wait.kind, wait.until], ['model', undefined]);
    const { lease_until: leaseUntil, attempts } = await readGate(id);
    assert.deepEqual([leaseUntil, attempts], [null, 0]);
    await worker.kill();
    worker = await stack.start('worker');
    await assertDoneOnce(id, 'first');
  });

  test('takes the report of its webhook', async () => {
    const id = await submit('webhook', 100);
    await assertDoneOnce(id, 'webhook');
    assert.equal(stack.model.interactions.webhooks.statuses.at(-1), 200);
    assert.deepEqual(await readReport(id), [{ interaction: find(id)[0]!.id }]);
  });

  for (const fault of ['lost', 'doubled', 'forged'] as const) {
    test(`ends once if its webhook is ${fault}`, async () => {
      const { webhooks } = stack.model.interactions;
      webhooks.fault = fault;
      webhooks.statuses.length = 0;
      const id = await submit(fault, 200);
      await assertDoneOnce(id, fault);
      const expected = { lost: [], doubled: [200, 200], forged: [401] }[fault];
      await waitFor('the webhooks', () => webhooks.statuses.length === expected.length);
      assert.deepEqual(webhooks.statuses, expected);
      webhooks.fault = undefined;
    });
  }

  test('ends once if its webhook comes before its creation is answered', async () => {
    stack.model.interactions.early = true;
    stack.model.script([{ match: 'early', reactions: [{ chunks: ['done early'] }] }]);
    const { id } = await stack.submit('early');
    await assertDoneOnce(id, 'early');
    stack.model.interactions.early = false;
  });

  test('is canceled with its task', async () => {
    const id = await submit('cancel', 60_000);
    await stack.rpc('CancelTask', { id });
    await waitFor('the cancellation', () => find(id)[0]!.status === 'cancelled', { boundMs: 60_000 });
  });

  test('is canceled at the deadline of its task', async () => {
    stack.model.script([{ match: 'deadline', reactions: [{ delayMs: 60_000 }] }]);
    const deadline = new Date(Date.now() + 2000).toISOString();
    const { id } = await stack.submit('deadline', { metadata: { [scheduleExtension]: { deadline } } });
    const { status } = await stack.until(id, (task) => task.status.state === 'TASK_STATE_FAILED');
    assert.match(status.message.parts[0].text, /deadline/);
    await waitFor('the cancellation', () => find(id)[0]!.status === 'cancelled', { boundMs: 60_000 });
  });

  test('takes only webhooks that Google has signed for their address just now', async () => {
    const id = await submit('signatures', 60_000);
    const [{ id: interaction, request }] = find(id) as [ReturnType<typeof find>[number]];
    const [uri] = request.webhook_config!.uris as [string];
    const now = Math.floor(Date.now() / 1000);
    const event = { type: 'interaction.completed', version: 'v1', data: { id: interaction } };
    const { webhooks } = stack.model.interactions;
    const post = async (
      claims: object,
      headers: Record<string, string> = {},
      body: object = event,
      to = uri,
    ) => {
      const signature = await webhooks.sign(uri, event, claims);
      const response = await fetch(to, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'webhook-timestamp': String(now),
          'webhook-signature': signature,
          ...headers,
        },
        body: JSON.stringify(body),
      });
      return response.status;
    };
    assert.deepEqual(
      await Promise.all([
        post({ aud: 'https://other.example' }),
        post({ iat: now - 400, exp: now + 400 }),
        post({ exp: now - 10 }),
        post({}, { 'webhook-timestamp': String(now - 400) }),
        post({}, { 'webhook-signature': 'v1,abc' }),
        post({ data: { id: 'b' } }, {}, { type: 'batch.succeeded', data: { id: 'b' } }),
        post({}, {}, event, `${uri}x`),
        post({ aud: `${uri}x` }, {}, event, `${uri}x`),
        post({}, {}, { ...event, data: { id: 'another' } }),
        post({}, {}, { ...event, type: 'video.generated' }),
      ]),
      [401, 401, 401, 401, 401, 404, 401, 404, 401, 400],
    );
    assert.deepEqual(await readReport(id), [{ interaction: null }], 'refused without a trace');
    assert.equal(await post({}, {}, { ...event, type: 'interaction.incomplete' }), 200, 'an end that is new');
    assert.equal(await post({}), 200, 'polled, and still running');
    assert.equal(find(id)[0]!.status, 'in_progress');
    assert.equal(
      (
        await fetch(uri.replace('/gemini/webhooks/', '/callbacks/'), {
          method: 'POST',
          body: '1',
          headers: { 'content-type': 'application/json' },
        })
      ).status,
      404,
    );
    await stack.rpc('CancelTask', { id });
  });

  test('takes webhooks of the project that one of its secrets has signed', async () => {
    const id = await submit('project', 60_000);
    const [{ id: interaction, request }] = find(id) as [ReturnType<typeof find>[number]];
    const token = request.webhook_config!.uris![0]!.split('/').at(-1)!;
    const event = { type: 'interaction.completed', version: 'v1', data: { id: interaction } };
    const named = { ...event, user_metadata: { longhaul_token: token } };
    const now = Math.floor(Date.now() / 1000);
    const post = async (secret: string, body: object, sentAt = now, signed: object = body) => {
      const response = await fetch(`${stack.apiUrl}/gemini/webhooks`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'webhook-id': 'msg_1',
          'webhook-timestamp': String(sentAt),
          'webhook-signature': `v1,AAAA ${signForProject(secret, 'msg_1', String(sentAt), JSON.stringify(signed))}`,
        },
        body: JSON.stringify(body),
      });
      return response.status;
    };
    const [old, current] = secrets as [string, string];
    assert.deepEqual(
      await Promise.all([
        post('whsec_Zm9yZ2Vk', named),
        post(old, named, now, event),
        post(old, named, now - 400),
        post(old, event),
        post(old, { type: 'batch.succeeded', data: { id: 'b' } }),
        post(old, { ...named, user_metadata: { longhaul_token: 'unknown' } }),
        post(old, { ...named, type: 'batch.succeeded' }),
      ]),
      [401, 401, 401, 200, 200, 200, 200],
      'what others may have sent is accepted: Google disables a webhook that refuses',
    );
    assert.deepEqual(await readReport(id), [{ interaction: null }], 'without a trace');
    assert.deepEqual([await post(old, named), await post(current, named)], [200, 200]);
    assert.deepEqual(await readReport(id), [{ interaction }]);
    await stack.rpc('CancelTask', { id });
  });
});

describe('tasks of the tier batch', () => {
  test('share one batch, which wakes each of them, and one that fails does so alone', async (t) => {
    const model = { name: 'gemini-3.8-flash', taskServiceTiers: ['batch'], batch: { collectSeconds: 1 } };
    const settings = { model, tools: [], prices: { 'gemini-3.8-flash': { input: 1, output: 1 } } };
    const { url } = await stack.start('api', { AGENT_FILE: writeAgentFile(t, settings), PORT: '0' });
    stack.model.script([
      { match: 'batch a', reactions: [{ chunks: ['done a'] }] },
      { match: 'batch b', reactions: [{ status: 400, message: 'no' }] },
      { match: 'batch c', reactions: [{ chunks: ['done c'], delayMs: 2500 }] },
    ]);
    const send = async (text: string): Promise<string> => {
      const { result } = await callJsonRpc(url, 'SendMessage', {
        message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }] },
        configuration: { returnImmediately: true },
        metadata: { [serviceTierExtension]: 'batch' },
      });
      return result.task.id as string;
    };
    const ids = await Promise.all(['batch a', 'batch b', 'batch c'].map(send));
    const [a, b, c] = ids as [string, string, string];
    await waitFor('the batch', () => stack.model.batches.created === 1);
    for (const id of ids) {
      const gate = await readGate(id);
      assert.deepEqual([gate.lease_until, gate.worker], [null, null], 'no slot is held');
    }
    const isOver = ({ status }: TaskJson) => /COMPLETED|FAILED/.test(status.state);
    const [first, second, third] = await Promise.all([a, b, c].map((id) => stack.until(id, isOver)));
    assert.deepEqual(
      [first, third].map((task) => task!.artifacts?.[0]?.parts[0]?.text),
      ['done a', 'done c'],
    );
    assert.match(second!.status.message.parts[0].text, /refused the request: no/);
    assert.equal(stack.model.batches.created, 1);
    assert.equal(stack.model.interactions.webhooks.statuses.at(-1), 200);
    const { rows } = await stack.pool.query(
      `select count(*)::int as calls, bool_and((usage ->> 'cost')::float8 > 0) as priced from steps
       where task_id = any($1) and usage is not null`,
      [ids],
    );
    assert.deepEqual(rows, [{ calls: 2, priced: true }]);
    await waitFor('the deletion at Google', () => stack.model.batches.list().length === 0);
  });
});
