/** How many statements the entries of an agent's own state need. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NewStep } from '#shared/db/turns/write.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import type { StateLog } from '#services/worker/agent/agent.ts';
import type { HeldLease } from '#services/worker/turn/lease-heartbeat.ts';
import { TurnRecord } from '#services/worker/turn/record.ts';
import { openStateLog } from '#services/worker/turn/steps/state-log.ts';

/** @param store called for each statement, after it is counted */
function open(store: () => Promise<void> = async () => undefined): { log: StateLog; statements: string[][] } {
  const statements: string[][] = [];
  const held = { signal: new AbortController().signal, assertHeld: async () => undefined };
  const log = openStateLog(
    {
      held: held as unknown as HeldLease,
      record: new TurnRecord([]),
      releaseSignal: new AbortController().signal,
      stepSeconds: undefined,
      check: () => undefined,
      toRecord: (_name, result) => JSON.stringify(result),
      store: (steps: readonly NewStep[]) => {
        statements.push(steps.map(({ name, output }) => `${name} ${output}`));
        return store();
      },
      addUsage: () => undefined,
      onRecorded: () => undefined,
    },
    (operation) => operation(),
  );
  return { log, statements };
}

describe('entries of a state log', () => {
  test('that are appended together are stored by one statement, in their order', async () => {
    const { log, statements } = open();
    await Promise.all([log.append('writes', 1), log.append('checkpoint', 2)]);
    await log.append('writes', 3);
    assert.deepEqual(statements, [['writes 1', 'checkpoint 2'], ['writes 3']]);
  });

  test('that are appended while others are stored wait for them', async () => {
    const stored = Promise.withResolvers<void>();
    const { log, statements } = open(() => stored.promise);
    const first = log.append('writes', 1);
    while (statements.length === 0) await new Promise(setImmediate);
    const more = [log.append('writes', 2), log.append('checkpoint', 3)];
    await new Promise(setImmediate);
    assert.equal(statements.length, 1);
    stored.resolve();
    await Promise.all([first, ...more]);
    assert.deepEqual(statements, [['writes 1'], ['writes 2', 'checkpoint 3']]);
  });

  test('fail together if the turn has lost its lease', async () => {
    const { log } = open(() => Promise.reject(new LeaseLostError('lost')));
    const results = await Promise.allSettled([log.append('writes', 1), log.append('checkpoint', 2)]);
    assert.deepEqual(
      results.map((result) => result.status === 'rejected' && (result.reason as Error).name),
      ['LeaseLostError', 'LeaseLostError'],
    );
  });
});
