/** Model calls under the quota that all workers share, with a fake quota. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { ModelCall, ModelQuotas, QuotaAnswer } from '#shared/db/models/quotas.ts';
import { FatalError, OwnerLimitError, ParkedError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import type { Meter } from '#services/worker/agent/gemini/agent.ts';
import { MemoryTurn } from '../../support/agents/memory-turn.ts';
import { definitionWithoutTools, useOfflineModel } from './use-offline-model.ts';

const offline = useOfflineModel();
const definition: JsonObject = {
  ...definitionWithoutTools,
  quotas: { 'gemini-3.8-flash': { requestsPerMinute: 60, tokensPerMinute: 6000 } },
};

/** The requests to the quota, in order, each with the number of model calls before it. */
let requests: { verb: string; call: ModelCall; amount?: number; calls: number }[];
let answer: () => Promise<QuotaAnswer>;
/** The answer of the quota to a refusal. */
let othersFit: boolean;
beforeEach(() => {
  requests = [];
  othersFit = false;
  answer = async () => ({ kind: 'granted', waitMs: 0 });
});

const record = async (verb: string, call: ModelCall, amount?: number) => {
  const calls = offline.model.log().length;
  requests.push({ verb, call, calls, ...(amount !== undefined && { amount }) });
};
const quotas: ModelQuotas = {
  take: async (call) => {
    await record('take', call);
    return answer();
  },
  settle: (call, tokens) => record('settle', call, tokens),
  refund: async (call, { retryAfterMs }) => {
    await record('refund', call, retryAfterMs);
    return othersFit;
  },
};
let checkCost = async (_owner: string): Promise<void> => undefined;
const meter: Meter = {
  quotas,
  spentToday: async () => ({ tokens: 0, cost: 0 }),
  checkCost: (owner) => checkCost(owner),
};
const run = (turn: MemoryTurn) =>
  offline.createAgent({ meter, backoff: { calls: 2, firstMs: 10, longestInPlaceMs: 100 } }).run(turn);
const createTurn = (message = 'hello') => new MemoryTurn({ message, definition });
const verbs = () => requests.map(({ verb, calls }) => [verb, calls]);

describe('a granted call', () => {
  test('is requested with an estimate and settled with its true count', async () => {
    const turn = createTurn('x'.repeat(400));
    await run(turn);
    assert.deepEqual(verbs(), [
      ['take', 0],
      ['settle', 1],
    ]);
    const { taskId, model, requestsPerMinute, tokensPerMinute, tokens } = requests[0]!.call;
    assert.deepEqual([taskId, model], [turn.taskId, 'gemini-3.8-flash']);
    assert.deepEqual([requestsPerMinute, tokensPerMinute], [60, 6000]);
    assert.ok(tokens >= 100 && tokens < 130, `${tokens}`);
    const response = JSON.parse(turn.steps.get('model#1')!.result) as {
      usage: { promptTokenCount: number };
    };
    assert.equal(requests[1]?.amount, response.usage.promptTokenCount);
  });

  test('succeeds even if its true count cannot be stored', async (t) => {
    t.mock.method(quotas, 'settle', () => Promise.reject(new Error('broken')));
    assert.deepEqual(await run(createTurn()), { state: 'TASK_STATE_COMPLETED' });
  });

  test('waits in place as long as the quota says', async () => {
    answer = async () => ({ kind: 'granted', waitMs: 150 });
    const from = performance.now();
    await run(createTurn());
    assert.ok(performance.now() - from >= 150);
  });

  test('proceeds while the database is unavailable', async () => {
    const refused = Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' });
    answer = () => Promise.reject(refused);
    assert.deepEqual(await run(createTurn()), { state: 'TASK_STATE_COMPLETED' });
  });
});

describe('a parked call', () => {
  test('parks the task until the time that the quota names, without a model call', async () => {
    answer = async () => ({ kind: 'parked', waitMs: 60_000 });
    const from = Date.now();
    await assert.rejects(run(createTurn()), (error: unknown) => {
      assert.ok(error instanceof ParkedError);
      const wait = error.until.getTime() - from;
      return wait >= 60_000 && wait < 62_000;
    });
    assert.equal(offline.model.log().length, 0);
  });
});

describe('the cost limit of an owner', () => {
  test('parks the turn before its next model call, and keeps the calls before', async (t) => {
    const limit = new OwnerLimitError('Waiting until midnight', new Date(Date.now() + 60_000));
    checkCost = () => (offline.model.log().length === 0 ? Promise.resolve() : Promise.reject(limit));
    t.after(() => (checkCost = async () => undefined));
    offline.model.script([{ match: 'hello', reactions: [{ empty: true }] }]);
    const turn = createTurn();
    await assert.rejects(run(turn), limit);
    assert.deepEqual([...turn.steps.keys()], ['model#1']);
    assert.equal(offline.model.log().length, 1);
  });
});

describe('a refused call', () => {
  for (const status of [429, 503]) {
    test(`is refunded with the wait that the model requests after ${status}`, async () => {
      offline.model.script([{ match: 'hello', reactions: [{ status, retryDelay: '0.05s' }] }]);
      assert.deepEqual(await run(createTurn()), { state: 'TASK_STATE_COMPLETED' });
      assert.deepEqual(verbs(), [
        ['take', 0],
        ['refund', 1],
        ['take', 1],
        ['settle', 2],
      ]);
      assert.equal(requests[1]?.amount, 50);
    });
  }

  for (const [retryAfter, retryAfterMs] of [
    [20, 20_000],
    [86_400, 900_000],
  ] as const) {
    test(`makes all workers wait ${retryAfterMs / 1000} s for Retry-After: ${retryAfter}`, async () => {
      offline.model.script([{ match: 'hello', reactions: [{ status: 429, retryAfter }] }]);
      await assert.rejects(run(createTurn()), ParkedError);
      assert.deepEqual(
        requests.map(({ verb, amount }) => [verb, amount]),
        [
          ['take', undefined],
          ['refund', retryAfterMs],
        ],
      );
    });
  }
});

describe('a request that the model refuses while it answers smaller ones', () => {
  test('fails after five refusals, with the words of the model', async () => {
    othersFit = true;
    const message = 'Quota exceeded for input tokens per minute, limit: 1000.';
    offline.model.script([
      { match: 'large', reactions: [{ status: 429, retryDelay: '20s', message }], repeat: true },
    ]);
    const first = createTurn('large');
    for (let refusals = 1; refusals < 5; refusals += 1) {
      const turn = new MemoryTurn({ message: 'large', definition, steps: first.steps });
      await assert.rejects(run(refusals === 1 ? first : turn), ParkedError);
    }
    const last = new MemoryTurn({ message: 'large', definition, steps: first.steps });
    await assert.rejects(run(last), (error: unknown) => {
      assert.ok(error instanceof FatalError);
      assert.match(
        error.message,
        /refused this request 5 times while it answered smaller ones: Quota exceeded/,
      );
      return true;
    });
    assert.equal(offline.model.log().length, 5);
  });
});

describe('an agent without a meter', () => {
  const runAlone = (taskDefinition: JsonObject) =>
    offline.createAgent().run(new MemoryTurn({ message: 'hello', definition: taskDefinition }));

  test('refuses a definition with a quota for its model', async () => {
    await assert.rejects(runAlone(definition), FatalError);
  });

  test('refuses a definition with a limit for owners', async () => {
    const limits = { ownerTokensPerDay: 1 };
    await assert.rejects(runAlone({ ...definitionWithoutTools, limits }), FatalError);
  });

  test('runs a definition without either', async () => {
    assert.deepEqual(await runAlone(definitionWithoutTools), { state: 'TASK_STATE_COMPLETED' });
  });
});
