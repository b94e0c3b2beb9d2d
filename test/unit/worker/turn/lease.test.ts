/** No step starts under an expired lease (invariants 3 and 7), even if the lease expired during a long write. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { WriteTurn } from '#shared/db/turns/write.ts';
import { LeaseLostError, RetryableError } from '#shared/domain/errors.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { createTurn } from '#services/worker/turn/turn.ts';

/** Creates a turn, and a function that expires its lease. Without a `write`, the lease expires during the first write. */
function createLeasedTurn(write?: WriteTurn) {
  let expired = false;
  const controller = new AbortController();
  const expire = (): void => {
    expired = true;
  };
  const turn = createTurn({
    held: {
      lease: { taskId: uuidv7(), turn: 1, fence: 1 },
      signal: controller.signal,
      lost: () => undefined,
      abort: (reason) => controller.abort(reason),
      assertHeld: async () => {
        if (expired) controller.abort(new LeaseLostError('its lease expired'));
        controller.signal.throwIfAborted();
      },
      release: () => undefined,
    },
    getStatusTime: () => new Date().toISOString(),
    input: {
      contextId: 'c',
      owner: 'o',
      tenant: '',
      metadata: {},
      definition: {},
      message: { messageId: 'm', role: 'ROLE_USER', parts: [] },
      acceptedOutputModes: [],
      references: [],
      readHistory: async () => ({ exchanges: [], complete: true, steps: [], references: [] }),
      readSteps: async () => [],
      readStoredReply: async () => undefined,
      readEarlierCall: async () => undefined,
      startedSecondsAgo: 0,
      steps: [],
      usage: undefined,
      recordBytes: 0,
    },
    signals: 0,
    task: {
      tenant: '',
      owner: 'o',
      contextId: 'c',
      agentHash: 'h',
      usage: undefined,
      traceparent: null,
      isChild: false,
      isParent: false,
    },
    openChildren: () => assert.fail('the turn has no children'),
    openCalls: () => assert.fail('the turn calls no agents'),
    timeOutCallback: async () => undefined,
    publicUrl: undefined,
    releaseSignal: new AbortController().signal,
    recordBytes: 1000,
    onRecorded: () => undefined,
    reserveMemory: async () => undefined,
    checkCost: async () => undefined,
    spentToday: async () => ({ tokens: 0, cost: 0 }),
    write: write ?? (async () => (expire(), { wakeups: [], lastEvent: 1 })),
    findEvent: async () => undefined,
    lastEvent: 0,
    openFiles: () => ({
      fit: async (_output, parts) => [...parts],
      store: undefined,
      read: async () => undefined,
      readArtifactSizes: async () => new Map(),
      readArtifact: async () => undefined,
    }),
    outbox: { publish: () => undefined, publishAll: async () => undefined, idle: async () => undefined },
    log: createLogger('test', 'silent'),
  });
  return { turn, expire };
}

describe('a turn', () => {
  test('does not run a step if the lease expires while its start is recorded', async () => {
    const { turn } = createLeasedTurn();
    let runs = 0;
    const step = turn.step('pay', async () => void (runs += 1), { sideEffects: true });
    await assert.rejects(step, LeaseLostError);
    assert.equal(runs, 0);
  });

  test('stops a step if the lease expires while progress is stored', async () => {
    const { turn } = createLeasedTurn();
    let called = 0;
    const step = turn.step('tool', async () => {
      await turn.progress('Calling …');
      called += 1;
    });
    await assert.rejects(step, LeaseLostError);
    assert.equal(called, 0);
  });

  test('does not retry a step if the lease expires during its run', async () => {
    const { turn, expire } = createLeasedTurn();
    let runs = 0;
    const run = async (): Promise<void> => {
      runs += 1;
      expire();
      throw new RetryableError('not yet');
    };
    await assert.rejects(turn.step('flaky', run, { retries: 3 }), LeaseLostError);
    assert.equal(runs, 1);
  });
});

describe('the record of a step', () => {
  test('is retried until the database is back, without running the step again', async () => {
    const unavailable = Object.assign(new Error('Connection terminated unexpectedly'), { code: '57P01' });
    let writes = 0;
    const { turn } = createLeasedTurn(async () => {
      writes += 1;
      if (writes < 3) throw unavailable;
      return { wakeups: [], lastEvent: 1 };
    });
    let runs = 0;
    await turn.step('once', async () => void (runs += 1));
    assert.deepEqual([runs, writes], [1, 3]);
  });

  test('is not retried when the database refuses it', async () => {
    const refused = Object.assign(new Error('invalid byte sequence'), { code: '22021' });
    let writes = 0;
    const { turn } = createLeasedTurn(async () => {
      writes += 1;
      throw refused;
    });
    await assert.rejects(
      turn.step('once', async () => undefined),
      refused,
    );
    assert.equal(writes, 1);
  });
});
