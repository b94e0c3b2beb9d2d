/** The summary of refused requests, by caller. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '#shared/runtime/log.ts';
import {
  countOwnerRefusal,
  countRefusal,
  RefusalLog,
  startRefusalLog,
} from '#services/api/limits/refusals.ts';

interface Summary {
  refused: number;
  callers: unknown[];
}

test('logs the callers with most refusals once in an interval', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const log = createLogger('test', 'silent');
  const warn = t.mock.method(log, 'warn');
  startRefusalLog(log);
  for (let n = 0; n < 3; n++) countRefusal('request_rate', 'key:alice');
  countOwnerRefusal('key:alice', 'openTasks');
  for (let n = 0; n < 2; n++) countOwnerRefusal('key:bob', 'webhookBytesPerHour');
  countRefusal('connections');
  t.mock.timers.tick(9_999);
  assert.equal(warn.mock.callCount(), 0);
  t.mock.timers.tick(1);
  assert.deepEqual(warn.mock.calls[0]?.arguments, [
    {
      refused: 6,
      callers: [
        { caller: 'key:alice', limit: 'request_rate', refused: 3 },
        { caller: 'key:bob', limit: 'webhook_bytes_per_hour', refused: 2 },
        { caller: 'key:alice', limit: 'open_tasks', refused: 1 },
      ],
    },
    'requests refused because of limits',
  ]);
  t.mock.timers.tick(60_000);
  assert.equal(warn.mock.callCount(), 1);
});

test('lists ten callers, and counts the others', (t) => {
  const log = createLogger('test', 'silent');
  const summaries: Summary[] = [];
  t.mock.method(log, 'warn', (fields: Summary) => summaries.push(fields));
  const refusals = new RefusalLog(log);
  for (let n = 0; n < 5_000; n++) refusals.add(`key:${n}`, 'request_rate');
  refusals.flush();
  refusals.flush();
  assert.deepEqual(
    summaries.map(({ refused, callers }) => [refused, callers.length]),
    [[5_000, 10]],
  );
});
