/** Outages of the database are logged once, not for each statement. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createOutageLog } from '#shared/db/client/outage-log.ts';
import type { Logger } from '#shared/runtime/log.ts';

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
});
