/** Returns a percentile of sorted values: 0.5 is the median. Undefined if there are none. */
export function getPercentile(sorted: readonly number[], share: number): number | undefined {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
