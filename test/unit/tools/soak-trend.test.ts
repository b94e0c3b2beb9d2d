/** The trends that the soak reports. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { getTrend, isRising } from '../../tools/soak/trend.ts';

const noise = (at: number): number => ((at * 7919) % 13) / 13 - 0.5;
const series = (value: (at: number) => number) => Array.from({ length: 20 }, (_, at) => value(at));

describe('isRising', () => {
  test('reports a leak below the noise of single samples', () => {
    const trend = getTrend(series((at) => 100 + 1.5 * at + 10 * noise(at)));
    assert.ok(trend.growth > 0.2 && trend.growth < 0.3, `${trend.growth}`);
    assert.ok(isRising(trend, 0.1));
  });

  test('does not report noise, or one busy minute', () => {
    assert.ok(!isRising(getTrend(series((at) => 100 + 40 * noise(at))), 0.1));
    assert.ok(!isRising(getTrend(series((at) => (at === 15 ? 900 : 100 + noise(at)))), 0.1));
  });

  test('does not report a series that falls, stays, or rises by less than is allowed', () => {
    assert.ok(!isRising(getTrend(series((at) => 100 - at)), 0.1));
    assert.ok(!isRising(getTrend(series(() => 0)), 0.1));
    assert.ok(!isRising(getTrend(series((at) => 100 + 0.2 * at)), 0.1));
  });
});
