/** The statuses in which a call through the Interactions API can end. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import { Crash, MemoryTurn } from '../../../support/agents/memory-turn.ts';
import { waitFor } from '../../../support/wait-for.ts';
import {
  definitionWithoutTools,
  getFailure,
  getOutcomeMessage,
  useOfflineModel,
} from '../use-offline-model.ts';

const offline = useOfflineModel();
const withModel = (model: JsonObject): JsonObject => ({
  ...definitionWithoutTools,
  model: { name: 'gemini-3.8-flash', api: 'interactions', ...model },
});
const inBackground = withModel({ background: 'always' });
const inForeground = withModel({ background: 'never' });
const list = () => offline.model.interactions.list();
const run = (turn: MemoryTurn) => offline.createAgent().run(turn);
const createTurn = (definition: JsonObject, more = {}) =>
  new MemoryTurn({ message: 'write', definition, ...more });

describe('a call that ends', () => {
  for (const [finishReason, limit] of [
    ['MAX_TOKENS', /cut at the model's limit of output tokens/],
    ['BUDGET_EXCEEDED', /cut at the budget of the call at Google/],
  ] as const) {
    test(`with ${finishReason} keeps its answer, and says so`, async () => {
      offline.model.script([{ match: 'write', reactions: [{ chunks: ['half'], finishReason }] }]);
      const turn = createTurn(inBackground);
      assert.match(getOutcomeMessage(await run(turn)), limit);
      assert.equal(turn.getArtifactText('answer'), 'half');
      assert.deepEqual(turn.artifacts[0]!.metadata, { truncated: true, finishReason });
    });
  }

  test('without an answer at its budget fails', async () => {
    offline.model.script([{ match: 'write', reactions: [{ chunks: [], finishReason: 'BUDGET_EXCEEDED' }] }]);
    assert.match(getFailure(await run(createTurn(inBackground))), /used up its budget/);
  });

  test('as failed for a request that is at fault fails its task, and is counted', async () => {
    offline.model.script([{ match: 'write', reactions: [{ status: 400, message: 'no such file' }] }]);
    const turn = createTurn(inBackground);
    assert.match(getFailure(await run(turn)), /^The model refused the request: no such file$/);
    const { result, options } = turn.steps.get('model#1')!;
    assert.ok(options.usage!(JSON.parse(result) as Json)!.tokens.prompt > 0);
  });

  test('fails if another program cancels it at Google', async () => {
    offline.model.script([{ match: 'write', reactions: [{ delayMs: 60_000 }] }]);
    const running = run(createTurn(inBackground));
    await waitFor('the call', () => list().length === 1);
    offline.model.interactions.cancel(list()[0]!.id);
    assert.match(getFailure(await running), /canceled at Google/);
  });
});

describe('a reply that Google cuts into several calls', () => {
  const cut = { finishReason: 'REQUIRES_CONTINUATION' };
  const script = () =>
    offline.model.script([
      {
        match: 'write',
        reactions: [{ chunks: ['one '], ...cut }, { chunks: ['two '], ...cut }, { chunks: ['three'] }],
      },
    ]);
  const assertWhole = (turn: MemoryTurn) => {
    assert.equal(turn.getArtifactText('answer'), 'one two three');
    const calls = [...turn.steps].filter(([name]) => name.startsWith('model#'));
    assert.equal(calls.length, 3);
    for (const [, { result, options }] of calls) {
      assert.ok(options.usage!(JSON.parse(result) as Json)!.tokens.output > 0);
    }
    assert.equal(list().length, 3);
  };

  test('is joined, with a record and the usage of each', async () => {
    script();
    const turn = createTurn(inForeground);
    await run(turn);
    assertWhole(turn);
    const [first, second] = list();
    const { input, previous_interaction_id, continuation_token } = second!.request;
    assert.deepEqual([input, previous_interaction_id], [undefined, first!.id]);
    assert.equal(continuation_token, `token_${first!.id}`);
  });

  test('continues after the last recorded call when the worker dies', async () => {
    script();
    let turn = createTurn(inForeground, { crashAfter: 'model#1' });
    for (const crashAfter of ['model#2', undefined]) {
      await assert.rejects(run(turn), Crash);
      turn = createTurn(inForeground, { steps: turn.steps, updates: turn.updates, crashAfter });
    }
    await run(turn);
    assertWhole(turn);
  });

  test('fails if its first part is gone', async () => {
    script();
    const first = createTurn(inForeground, { crashAfter: 'model#1' });
    await assert.rejects(run(first), Crash);
    offline.model.interactions.expire(list()[0]!.id);
    await assert.rejects(
      run(createTurn(inForeground, { steps: first.steps })),
      /no longer has the first ones/,
    );
  });

  test('takes no more calls than the turn may make', async () => {
    offline.model.script([{ match: 'write', reactions: [{ chunks: ['on '], ...cut }], repeat: true }]);
    const turn = createTurn({ ...inForeground, limits: { modelCalls: 3 } });
    assert.match(getFailure(await run(turn)), /limit of 3 model calls/);
    assert.equal(list().length, 3);
  });
});
