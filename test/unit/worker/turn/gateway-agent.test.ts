/** How the turn of a gateway ends, for each way in which the agent behind it can end a call. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CallResult, CallStatus, Turn } from '#services/worker/agent/agent.ts';
import { CredentialsError } from '#services/worker/agent/errors.ts';
import { gatewayAgent } from '#services/worker/agent/gateway/agent.ts';

const createTurn = (relay: () => Promise<CallResult>, number = 1): Turn =>
  ({ number, relay }) as unknown as Turn;

const createResult = (status: CallStatus, more: Partial<CallResult> = {}): CallResult => ({
  status,
  taskId: 'r',
  message: [{ text: 'why' }],
  artifacts: [],
  complete: true,
  ...more,
});

const run = (result: CallResult, number?: number) => gatewayAgent.run(createTurn(async () => result, number));

describe('the turn of a gateway', () => {
  const message = [{ text: 'why' }];
  for (const [status, state] of [
    ['completed', 'COMPLETED'],
    ['input_required', 'INPUT_REQUIRED'],
    ['auth_required', 'AUTH_REQUIRED'],
    ['rejected', 'REJECTED'],
    ['failed', 'FAILED'],
    ['canceled', 'CANCELED'],
    ['refused', 'FAILED'],
    ['timed_out', 'FAILED'],
  ] as const) {
    test(`ends in ${state} if the call is ${status}`, async () => {
      assert.deepEqual(await run(createResult(status)), { state: `TASK_STATE_${state}`, message });
    });
  }

  test('passes extensions of an authorization on', async () => {
    const outcome = await run(createResult('auth_required', { extensions: ['https://x'] }));
    assert.deepEqual(outcome, { state: 'TASK_STATE_AUTH_REQUIRED', message, extensions: ['https://x'] });
  });

  test('answers with a single message only in the first turn', async () => {
    const { taskId: _none, ...answer } = createResult('completed');
    assert.deepEqual(await run(answer), { direct: message });
    assert.deepEqual(await run(answer, 2), { state: 'TASK_STATE_COMPLETED', message });
  });

  test('says so if the other agent gives no reason', async () => {
    const outcome = await run(createResult('canceled', { message: [] }));
    assert.deepEqual(outcome, {
      state: 'TASK_STATE_CANCELED',
      message: [{ text: 'The agent behind this one has canceled its task.' }],
    });
  });

  test('runs again later if the credentials are refused', async () => {
    const turn = createTurn(() => Promise.reject(new CredentialsError('send any message')));
    await assert.rejects(gatewayAgent.run(turn), {
      name: 'RetryableError',
      message: /refuses the credentials/,
    });
  });
});
