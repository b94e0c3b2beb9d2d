/**
 * Whether a series of measurements rises: the median of the slopes between all pairs (Theil and Sen), if it is significant
 * by the test of Mann and Kendall. Both resist outliers, such as a minute in which the machine was busy.
 */

export interface Trend {
  /** By how much the series rises from its start to its end, relative to its median. */
  growth: number;
  /** Standard deviations by which more pairs rise than fall. */
  z: number;
}

/** A chance of one in a thousand for a series without a trend. */
const significantZ = 3.1;

/** @param values at equal distances, at least four */
export function getTrend(values: readonly number[]): Trend {
  const slopes: number[] = [];
  let rising = 0;
  for (const [at, value] of values.entries()) {
    for (let later = at + 1; later < values.length; later++) {
      const difference = (values[later] ?? value) - value;
      slopes.push(difference / (later - at));
      rising += Math.sign(difference);
    }
  }
  const n = values.length;
  const deviation = Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18);
  const z = rising === 0 ? 0 : (rising - Math.sign(rising)) / deviation;
  const middle = Math.abs(median(values));
  return { growth: middle === 0 ? 0 : (median(slopes) * (n - 1)) / middle, z };
}

/** @param allowed growth that is not reported */
export function isRising({ growth, z }: Trend, allowed: number): boolean {
  return growth > allowed && z > significantZ;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? 0)) / 2;
}
