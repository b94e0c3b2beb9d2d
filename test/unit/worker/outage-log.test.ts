/** Outages of the database are logged once, not for each statement. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createOutageLog } from '#shared/db/client/outage-log.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { startPeriodicWork } from '#services/worker/agent/gemini/interactions/periodic-work.ts';
import { FairSlots } from '#services/worker/intake/fair-slots.ts';
import { followQueues } from '#services/worker/intake/owner-queues.ts';

describe('an outage', () => {
  test('is logged at its start, each minute, and at its end', (t) => {
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const lines: string[] = [];
    const write = (fields: object, message: string) =>
      void lines.push(`${message} ${JSON.stringify(fields)}`);
    const outages = createOutageLog({ warn: write, info: write } as unknown as Logger);
    outages.succeeded();
    for (; now <= 100_000; now += 50) outages.failed(new Error('gone'));
    now = 101_000;
    outages.succeeded();
    assert.deepEqual(lines, [
      'database unavailable {"error":"gone"}',
      'database still unavailable {"error":"gone","failures":1201,"seconds":60}',
    ]);
    now = 110_000;
    outages.succeeded();
    assert.equal(lines[2], 'database available again {"failures":2001,"seconds":100}');
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
        const logged = Promise.withResolvers<string>();
        const log = {
          warn: () => logged.resolve('warn'),
          debug: () => logged.resolve('debug'),
        } as unknown as Logger;
        const loop = start(log);
        assert.equal(await logged.promise, level);
        await loop.close();
      }
    });
  }
});
