/** Outages of the database are logged once, not for each statement. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createOutageLog } from '#shared/db/client/outage-log.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { startPeriodicWork } from '#services/worker/agent/gemini/interactions/periodic-work.ts';
import { FairSlots } from '#services/worker/intake/fair-slots.ts';
import { followQueues } from '#services/worker/intake/owner-queues.ts';
import { createLineLog } from '../../support/processes/log-lines.ts';
import { waitFor } from '../../support/wait-for.ts';

describe('an outage', () => {
  test('is logged at its start, each minute, and at its end', (t) => {
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const { log, lines } = createLineLog();
    const outages = createOutageLog(log);
    outages.succeeded();
    for (; now <= 100_000; now += 50) outages.failed(new Error('gone'));
    now = 101_000;
    outages.succeeded();
    assert.deepEqual(lines, [
      { level: 'warn', error: 'gone', message: 'database unavailable' },
      { level: 'warn', error: 'gone', failures: 1201, seconds: 60, message: 'database still unavailable' },
    ]);
    now = 110_000;
    outages.succeeded();
    assert.deepEqual(lines[2], {
      level: 'info',
      failures: 2001,
      seconds: 100,
      message: 'database available again',
    });
    outages.succeeded();
    assert.equal(lines.length, 3);
  });

  for (const [code, level] of [
    ['57P01', 'debug'],
    ['ECONNRESET', 'debug'],
    ['42501', 'warn'],
  ]) {
    test(`is not logged again by each loop: ${code} is for ${level}`, async () => {
      const fail = async (): Promise<never> => {
        throw Object.assign(new Error('gone'), { code });
      };
      for (const start of [
        (log: Logger) => startPeriodicWork(1, fail, log, 'failed'),
        (log: Logger) =>
          followQueues({
            slots: new FairSlots(1, 1, () => true),
            dequeue: fail,
            run: fail,
            findOwners: fail,
            pollMs: 1,
            log,
          }),
      ]) {
        const { log, lines } = createLineLog();
        const loop = start(log);
        const [first] = await waitFor('a line', () => (lines.length > 0 ? lines : undefined));
        assert.equal(first?.level, level);
        await loop.close();
      }
    });
  }
});
