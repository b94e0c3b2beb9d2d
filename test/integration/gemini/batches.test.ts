/** Calls of the tier `batch` against the offline model: collected, sent as one batch, and answered one by one. */
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import type { Agent } from '#services/worker/agent/agent.ts';
import type { GeminiAgentOptions } from '#services/worker/agent/gemini/agent.ts';
import { FatalError, ParkedError } from '#shared/domain/errors.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import { serviceTierExtension } from '#shared/domain/service-tier.ts';
import { Crash, MemoryTurn } from '../../support/agents/memory-turn.ts';
import { createMemoryBatches, type MemoryBatches } from '../../support/fakes/memory-batches.ts';
import { waitFor } from '../../support/wait-for.ts';
import { createTool, definitionWithoutTools, getFailure, useOfflineModel } from './use-offline-model.ts';

const offline = useOfflineModel();
const prices = { 'gemini-3.8-flash': { input: 1, output: 1 } };
const withModel = (model: JsonObject, more: JsonObject = {}): JsonObject => ({
  ...definitionWithoutTools,
  prices,
  model: { name: 'gemini-3.8-flash', serviceTier: 'batch', ...model },
  ...more,
});
const definition = withModel({});
const completed = { state: 'TASK_STATE_COMPLETED' };
const list = () => offline.model.batches.list();

const agents: Agent[] = [];
const stores: MemoryBatches[] = [];
afterEach(async () => {
  for (const store of stores.splice(0)) store.closed = true;
  for (const agent of agents.splice(0)) await agent.close?.();
});
function createAgent(batches: MemoryBatches, more: Partial<GeminiAgentOptions> = {}): Agent {
  const agent = offline.createAgent({ batches, ...more });
  agents.push(agent);
  stores.push(batches);
  return agent;
}
const createTurn = (message: string, more: Partial<ConstructorParameters<typeof MemoryTurn>[0]> = {}) =>
  new MemoryTurn({ message, definition, taskId: `task of ${message}`, tokens: [message], ...more });
const getRequests = (index = 0) =>
  list()[index]!.request.requests.map(({ request }) => JSON.stringify(request));

describe('tasks of the tier batch', () => {
  test('are sent as one batch, get each its own answer, and one that fails does so alone', async () => {
    offline.model.batches.fail({ method: 'batch.delete', status: 500, times: 1 });
    offline.model.script([
      { match: 'one', reactions: [{ chunks: ['answer to one'] }] },
      { match: 'two', reactions: [{ status: 400, message: 'no such word' }] },
      { match: 'three', reactions: [{ chunks: ['answer to three'] }] },
    ]);
    const batches = createMemoryBatches(3, prices);
    const agent = createAgent(batches);
    const turns = ['one', 'two', 'three'].map((text) => createTurn(text));
    const [first, second, third] = await Promise.allSettled(turns.map((turn) => agent.run(turn)));
    assert.deepEqual(first, { status: 'fulfilled', value: completed });
    assert.deepEqual(third, { status: 'fulfilled', value: completed });
    assert.match(String(second?.status === 'rejected' && second.reason), /refused the request: no such word/);
    assert.deepEqual(
      [turns[0], turns[2]].map((turn) => turn!.getArtifactText('answer')),
      ['answer to one', 'answer to three'],
    );
    assert.equal(offline.model.batches.created, 1);
    await waitFor('the deletion at Google', () => list().length === 0 && batches.batches.length === 0);
    const { result, options } = turns[0]!.steps.get('model#1')!;
    const { tokens, cost } = options.usage!(JSON.parse(result) as Json)!;
    assert.equal(cost, (0.5 * (tokens.prompt + tokens.output)) / 1_000_000);
    const counted = batches.results.flatMap(({ usage }) => usage ?? []);
    assert.deepEqual([counted.length, counted[0]!.cost], [2, cost]);
  });

  test('name their batch, its webhook, and their requests, and no tier', async () => {
    offline.model.script([{ match: 'one', reactions: [{ delayMs: 30_000 }] }]);
    const batches = createMemoryBatches(1);
    void createAgent(batches)
      .run(createTurn('one'))
      .catch(() => undefined);
    await waitFor('the batch', () => list().length === 1);
    const [{ request }] = list() as [ReturnType<typeof list>[number]];
    const [batch] = batches.batches;
    assert.equal(request.displayName, `longhaul-${batch!.id}`);
    assert.deepEqual(request.webhookConfig, { uris: ['http://api.test/gemini/webhooks/secret'] });
    const [sent] = request.requests;
    assert.deepEqual(sent!.metadata, { key: batches.calls[0]!.id });
    const body = sent!.request as JsonObject;
    assert.deepEqual(Object.keys(body).toSorted(), [
      'contents',
      'generationConfig',
      'model',
      'store',
      'systemInstruction',
    ]);
    assert.equal(body['store'], false);
  });

  test('may choose the tier in the metadata of their message', async () => {
    const metadata = { [serviceTierExtension]: 'batch' };
    const offered = withModel({ serviceTier: 'standard', taskServiceTiers: ['batch'] });
    const batches = createMemoryBatches(1);
    const turn = createTurn('one', { definition: offered, metadata });
    const agent = createAgent(batches);
    assert.deepEqual(await agent.run(turn), completed);
    assert.equal(offline.model.batches.created, 1);
    assert.deepEqual(await agent.run(createTurn('two', { definition: offered })), completed);
    assert.equal(offline.model.batches.created, 1);
  });

  test('call tools between their batches', async () => {
    offline.model.script([
      { match: 'look', reactions: [{ functionCall: { name: 'look', args: {} } }, { chunks: ['seen'] }] },
    ]);
    const look = createTool('look', async () => ({ response: { found: 'tea' } }));
    const batches = createMemoryBatches(1);
    const turn = createTurn('look', { tokens: ['first', 'second'] });
    assert.deepEqual(await createAgent(batches, { tools: [look] }).run(turn), completed);
    assert.equal(turn.getArtifactText('answer'), 'seen');
    assert.deepEqual([look.calls.length, offline.model.batches.created], [1, 2]);
  });

  test('are called at once if their deadline is near, at the full price', async () => {
    const batches = createMemoryBatches(1);
    batches.soon = true;
    const turn = createTurn('one');
    assert.deepEqual(await createAgent(batches).run(turn), completed);
    assert.equal(offline.model.batches.created, 0);
    const { result, options } = turn.steps.get('model#1')!;
    const { tokens, cost } = options.usage!(JSON.parse(result) as Json)!;
    assert.equal(cost, (tokens.prompt + tokens.output) / 1_000_000);
  });

  test('fail when their call has waited for limits.batchSeconds', async () => {
    const limited = withModel({}, { limits: { batchSeconds: 60 } });
    const turn = createTurn('one', { definition: limited, ageSeconds: 61 });
    const outcome = await createAgent(createMemoryBatches(2)).run(turn);
    assert.match(getFailure(outcome), /limit of 60 seconds for a call in a batch/);
  });

  for (const [ending, expected] of [
    ['BATCH_STATE_EXPIRED', ParkedError],
    ['BATCH_STATE_FAILED', ParkedError],
    ['BATCH_STATE_CANCELLED', FatalError],
  ] as const) {
    test(`${expected === ParkedError ? 'call again' : 'fail'} after ${ending}`, async () => {
      offline.model.batches.ending = ending;
      const batches = createMemoryBatches(1);
      const agent = createAgent(batches);
      const turn = createTurn('one', { tokens: ['first', 'second'] });
      await assert.rejects(agent.run(turn), expected);
      if (expected === FatalError) return;
      offline.model.batches.ending = undefined;
      const { steps } = turn;
      const rerun = createTurn('one', { steps, tokens: ['first', 'second'] });
      assert.deepEqual(await agent.run(rerun), completed);
      assert.equal(offline.model.batches.created, 2);
    });
  }

  test('fail if Google no longer has their batch', async () => {
    offline.model.script([{ match: 'one', reactions: [{ delayMs: 60_000 }] }]);
    const batches = createMemoryBatches(1);
    const running = createAgent(batches).run(createTurn('one'));
    await waitFor('the batch', () => batches.batches[0]?.name !== undefined && list().length === 1);
    offline.model.batches.expire(list()[0]!.id);
    await assert.rejects(running, /no longer has the batch/);
  });
});

describe('a batch', () => {
  test('is found by its name after a creation whose answer was lost', async () => {
    offline.model.batches.fail({ method: 'batch.create', status: 500, times: 1, done: true });
    offline.model.batches.fail({ method: 'batch.list', status: 503, times: 1 });
    const batches = createMemoryBatches(1);
    assert.deepEqual(await createAgent(batches).run(createTurn('one')), completed);
    assert.equal(offline.model.batches.created, 1);
  });

  for (const crashAfter of ['batch#1', 'model#1']) {
    test(`is paid once if the worker of a task dies behind ${crashAfter}`, async () => {
      const batches = createMemoryBatches(1);
      const agent = createAgent(batches);
      const first = createTurn('one', { crashAfter });
      await assert.rejects(agent.run(first), Crash);
      const rerun = createTurn('one', { steps: first.steps, updates: first.updates });
      assert.deepEqual(await agent.run(rerun), completed);
      assert.deepEqual([offline.model.batches.created, batches.calls.length], [1, 1]);
    });
  }

  test('is created later if Google is busy, and polled while Google cannot be asked', async () => {
    for (const [method, status] of [
      ['batch.create', 429],
      ['batch.create', 503],
      ['batch.get', 500],
    ] as const) {
      offline.model.batches.fail({ method, status, times: 2 });
    }
    const batches = createMemoryBatches(1);
    assert.deepEqual(await createAgent(batches).run(createTurn('one')), completed);
    assert.equal(offline.model.batches.created, 1);
  });

  test('that Google refuses is halved until one call is refused alone', async () => {
    offline.model.batches.fail({ method: 'batch.create', status: 400, times: Infinity, match: 'three' });
    const batches = createMemoryBatches(4);
    const agent = createAgent(batches);
    const turns = ['one', 'two', 'three', 'four'].map((text) => createTurn(text));
    const ends = await Promise.allSettled(turns.map((turn) => agent.run(turn)));
    assert.deepEqual(
      ends.map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
    );
    assert.match(String(ends[2]!.status === 'rejected' && ends[2]!.reason), /refused the request/);
  });

  test('with malformed results fails the calls of these alone', async () => {
    const malformed: Record<string, unknown> = {
      'no response': { response: null },
      'no list': { response: { candidates: [{ content: { parts: {} }, finishReason: 'STOP' }] } },
      'no part': { response: { candidates: [{ content: { parts: [null] }, finishReason: 'STOP' }] } },
      'no text': { response: { candidates: [{ content: { parts: [{ text: 1 }] }, finishReason: 'STOP' }] } },
      'no error': { error: { code: 'x', message: 1 } },
      'no line': null,
    };
    const unread: Parameters<typeof offline.model.batches.fail>[0] = {
      method: 'batch.get',
      status: 500,
      times: Infinity,
    };
    offline.model.batches.fail(unread);
    const texts = ['good', ...Object.keys(malformed)];
    const batches = createMemoryBatches(texts.length);
    const agent = createAgent(batches);
    const running = Promise.allSettled(texts.map((text) => agent.run(createTurn(text))));
    await waitFor('the results', () => list()[0]?.state === 'BATCH_STATE_SUCCEEDED');
    const [{ request, responses }] = list() as [ReturnType<typeof list>[number]];
    for (const [index, sent] of request.requests.entries()) {
      const found = Object.keys(malformed).find((text) => JSON.stringify(sent.request).includes(text));
      if (found === undefined) continue;
      const line = malformed[found];
      responses[index] = (line && { metadata: sent.metadata, ...line }) as (typeof responses)[number];
    }
    unread.times = 0;
    const [good, ...others] = await running;
    assert.deepEqual(good, { status: 'fulfilled', value: completed });
    for (const [index, end] of others.entries()) {
      assert.ok(end.status === 'rejected' && end.reason instanceof ParkedError, texts[index + 1]);
    }
  });

  test('is canceled and deleted at Google once no task waits for it', async () => {
    offline.model.script([{ match: 'one', reactions: [{ delayMs: 60_000 }] }]);
    const batches = createMemoryBatches(1);
    void createAgent(batches)
      .run(createTurn('one'))
      .catch(() => undefined);
    await waitFor('the batch', () => list()[0]?.state === 'BATCH_STATE_RUNNING');
    const [batch] = list() as [ReturnType<typeof list>[number]];
    batches.calls[0]!.awaited = false;
    await waitFor('the end', () => batches.batches.length === 0);
    assert.equal(batch.state, 'BATCH_STATE_CANCELLED');
    assert.deepEqual(list(), []);
  });

  test('is not created for calls that no task waits for anymore', async () => {
    const batches = createMemoryBatches(1);
    await batches.add({ token: 'one', model: 'm', request: '{"contents":[]}', collectSeconds: 1 });
    batches.calls[0]!.awaited = false;
    createAgent(batches);
    await waitFor('the removal', () => batches.calls[0]!.batch !== undefined && batches.batches.length === 0);
    assert.deepEqual([offline.model.batches.created, batches.results], [0, []]);
  });

  test('has no call that is too large for it', async () => {
    const batches = createMemoryBatches(1);
    const turn = createTurn(`one ${'x'.repeat(4_100_000)}`, { tokens: ['large'] });
    assert.deepEqual(await createAgent(batches).run(turn), completed);
    assert.deepEqual([offline.model.batches.created, batches.calls.length], [0, 0]);
  });
});

test('an agent on Google Cloud, or without batches, refuses the tier batch', async () => {
  const cloud = createAgent(createMemoryBatches(1), { client: { ...offline.client, vertexai: true } });
  await assert.rejects(cloud.run(createTurn('one')), /needs the Gemini API/);
  await assert.rejects(
    offline.createAgent().run(createTurn('one')),
    /does not support the service tier batch/,
  );
});

test('batches of one definition have the requests of all their tasks', async () => {
  offline.model.script([{ match: '', reactions: [{ delayMs: 20 }], repeat: true }]);
  const batches = createMemoryBatches(2);
  const agent = createAgent(batches);
  const running = ['one', 'two'].map((text) => agent.run(createTurn(text)));
  await waitFor('the batch', () => list().length === 1);
  const requests = getRequests();
  assert.equal(requests.length, 2);
  assert.match(requests.join(), /one.*two/s);
  await Promise.all(running);
});
