/** How long the reads and writes of a turn are repeated while the database fails. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createLogger } from '#shared/runtime/log.ts';
import type { HeldLease } from '#services/worker/turn/lease-heartbeat.ts';
import { retryReadWhileLeased, retryWhileLeased } from '#services/worker/turn/retry-while-leased.ts';

const log = createLogger('test', 'silent');
const held = { lease: {}, lost: () => undefined } as unknown as HeldLease;
const timeout = new Error('Query read timeout');
const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });

/** Returns an operation that fails with these errors and then succeeds. */
function failing(...errors: Error[]): () => Promise<string> {
  return async () => {
    const error = errors.shift();
    if (error !== undefined) throw error;
    return 'done';
  };
}

describe('during an outage', { concurrency: true }, () => {
  test('a read ends with its fifth timeout in a row', async () => {
    const read = failing(...Array.from({ length: 5 }, () => timeout));
    await assert.rejects(retryReadWhileLeased(held, log, read), timeout);
  });

  test('a read continues after timeouts that are not in a row', async () => {
    const read = failing(timeout, timeout, timeout, refused, timeout, timeout);
    assert.equal(await retryReadWhileLeased(held, log, read), 'done');
  });

  test('a read is not repeated after it was stopped', async () => {
    await assert.rejects(retryReadWhileLeased(held, log, failing(refused), AbortSignal.abort()), refused);
  });

  test('a write is repeated after any number of timeouts', async () => {
    const write = failing(...Array.from({ length: 6 }, () => timeout));
    assert.equal(await retryWhileLeased(held, log, write), 'done');
  });
});
