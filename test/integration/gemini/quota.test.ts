/** Calls of the model and the quota that all workers share: what the agent asks of it, and what it makes of the answers. */
import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import type { ModelCall, ModelQuotas, QuotaAnswer } from '#shared/db/models/quotas.ts';
import { FatalError, ParkedError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { startOfflineModel } from '#services/local/offline-model/server.ts';
import { createGeminiAgent, type Meter } from '#services/worker/agent/gemini/agent.ts';
import { MemoryTurn } from '../../support/agents/memory-turn.ts';

const offline = await startOfflineModel({ port: 0 });
after(() => offline.close());

const definition: JsonObject = {
  name: 'Test',
  description: 'Tests.',
  version: '1',
  skills: [{ id: 'a', name: 'A', description: 'Does a.', tags: [] }],
  instruction: 'Be brief.',
  tools: [],
  quotas: { 'gemini-3.8-flash': { requestsPerMinute: 60, tokensPerMinute: 6000 } },
};
const client = { apiKey: 'any', baseUrl: offline.url };
const backoff = { calls: 2, firstMs: 10, longestInPlaceMs: 100 };

/** What was asked of the quota, in order, and how many calls the model had had then. */
let asked: { verb: string; call: ModelCall; amount?: number; calls: number }[];
let answer: () => Promise<QuotaAnswer>;
beforeEach(() => {
  offline.reset();
  asked = [];
  answer = async () => ({ kind: 'granted', waitMs: 0 });
});

const note = async (verb: string, call: ModelCall, amount?: number) => {
  asked.push({ verb, call, calls: offline.log().length, ...(amount !== undefined && { amount }) });
};
const quotas: ModelQuotas = {
  take: async (call) => {
    await note('take', call);
    return answer();
  },
  settle: (call, tokens) => note('settle', call, tokens),
  giveBack: (call, patienceMs) => note('giveBack', call, patienceMs),
};
const meter: Meter = { quotas, spentToday: async () => ({ tokens: 0, cost: 0 }) };
const agent = createGeminiAgent({ client, meter, backoff });
const verbs = () => asked.map(({ verb, calls }) => [verb, calls]);

test('a call is asked for with an estimate, waits as it is told, and is settled by what it took', async () => {
  answer = async () => ({ kind: 'granted', waitMs: 150 });
  const turn = new MemoryTurn({ message: 'x'.repeat(400), definition });
  const from = performance.now();
  await agent.run(turn);
  assert.ok(performance.now() - from >= 150);
  const record = JSON.parse(turn.steps.get('model#1')!.result) as {
    usage: { promptTokenCount: number };
    ms: number;
  };
  assert.deepEqual(verbs(), [
    ['take', 0],
    ['settle', 1],
  ]);
  const { taskId, model, requestsPerMinute, tokensPerMinute, tokens } = asked[0]!.call;
  assert.deepEqual([taskId, model], [turn.taskId, 'gemini-3.8-flash']);
  assert.deepEqual([requestsPerMinute, tokensPerMinute], [60, 6000]);
  assert.ok(tokens >= 100 && tokens < 130, `${tokens}`);
  assert.equal(asked[1]?.amount, record.usage.promptTokenCount);
});

test('parked: until the time that the quota names, without a call', async () => {
  answer = async () => ({ kind: 'parked', waitMs: 60_000 });
  const from = Date.now();
  await assert.rejects(agent.run(new MemoryTurn({ message: 'hello', definition })), (error: unknown) => {
    assert.ok(error instanceof ParkedError);
    const wait = error.until.getTime() - from;
    return wait >= 60_000 && wait < 62_000;
  });
  assert.equal(offline.log().length, 0);
});

for (const status of [429, 503]) {
  test(`${status}: given back with the patience that it asks for, before it is asked for again`, async () => {
    offline.script([{ match: 'hello', reactions: [{ status, retryDelay: '0.05s' }] }]);
    assert.deepEqual(await agent.run(new MemoryTurn({ message: 'hello', definition })), {
      state: 'TASK_STATE_COMPLETED',
    });
    assert.deepEqual(verbs(), [
      ['take', 0],
      ['giveBack', 1],
      ['take', 1],
      ['settle', 2],
    ]);
    assert.equal(asked[1]?.amount, 50);
  });
}

test('refused for long: everybody is told before the task is parked, of a quarter of an hour at most', async () => {
  for (const [retryAfter, patienceMs] of [
    [20, 20_000],
    [86_400, 900_000],
  ] as const) {
    asked = [];
    offline.script([{ match: 'hello', reactions: [{ status: 429, retryAfter }] }]);
    await assert.rejects(agent.run(new MemoryTurn({ message: 'hello', definition })), ParkedError);
    assert.deepEqual(
      asked.map(({ verb, amount }) => [verb, amount]),
      [
        ['take', undefined],
        ['giveBack', patienceMs],
      ],
    );
  }
});

test('a database that is away holds up no call', async () => {
  answer = () => Promise.reject(new Error('connection refused'));
  assert.deepEqual(await agent.run(new MemoryTurn({ message: 'hello', definition })), {
    state: 'TASK_STATE_COMPLETED',
  });
});

test('what the definition asks for is refused by an agent that cannot keep it', async () => {
  const alone = createGeminiAgent({ client });
  const { quotas: _, ...plain } = definition;
  for (const asking of [definition, { ...plain, limits: { ownerTokensPerDay: 1 } }]) {
    await assert.rejects(alone.run(new MemoryTurn({ message: 'hello', definition: asking })), FatalError);
  }
  assert.deepEqual(await alone.run(new MemoryTurn({ message: 'hello', definition: plain })), {
    state: 'TASK_STATE_COMPLETED',
  });
});
