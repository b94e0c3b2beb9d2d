/**
 * The horizontal axis of a timeline. A task may work for seconds and wait for days, so time without work is folded: a long
 * gap gets a small share of the width, and is marked as such.
 */
export interface Interval {
  from: number;
  to: number;
}

export interface Fold extends Interval {
  /** Shares of the width, from 0 to 1. */
  start: number;
  end: number;
}

export interface TimeAxis {
  /** The share of the width, from 0 to 1, at a time. */
  at(time: number): number;
  folds: readonly Fold[];
  ticks: readonly { position: number; ms: number }[];
}

/** A gap is folded if it takes more than this share of the work, and then gets this share. */
const foldedShare = 0.08;

export function createTimeAxis(span: Interval, work: readonly Interval[]): TimeAxis {
  const end = Math.max(span.to, span.from + 1);
  const busy = merge(
    work.map(({ from, to }) => ({ from: clamp(from, span.from, end), to: clamp(to, span.from, end) })),
  );
  const worked = busy.reduce((sum, { from, to }) => sum + to - from, 0);
  const longestGap = Math.max(worked * foldedShare * 2, 250);
  const segments = listSegments(span.from, end, busy).map((segment) => {
    const length = segment.to - segment.from;
    const folded = !segment.busy && worked > 0 && length > longestGap;
    return { ...segment, folded, width: folded ? Math.max(worked * foldedShare, 100) : length };
  });
  const total = segments.reduce((sum, { width }) => sum + width, 0) || 1;
  let position = 0;
  const placed = segments.map((segment) => {
    const start = position / total;
    position += segment.width;
    return { ...segment, start, end: position / total };
  });
  const at = (time: number): number => {
    const segment = placed.find(({ to }) => time <= to) ?? placed.at(-1);
    if (segment === undefined) return 0;
    const share = (time - segment.from) / Math.max(1, segment.to - segment.from);
    return clamp(segment.start + share * (segment.end - segment.start), 0, 1);
  };
  const folds = placed
    .filter(({ folded }) => folded)
    .map(({ from, to, start, end }) => ({ from, to, start, end }));
  return { at, folds, ticks: createTicks(span.from, end, folds, at) };
}

/** Ticks at round distances from the start, at most seven, and none inside a fold. */
function createTicks(
  from: number,
  to: number,
  folds: readonly Fold[],
  at: (time: number) => number,
): { position: number; ms: number }[] {
  const shown = to - from - folds.reduce((sum, fold) => sum + fold.to - fold.from, 0);
  const step = niceStep(Math.max(1, shown) / 6);
  const ticks: { position: number; ms: number }[] = [{ position: 0, ms: 0 }];
  const isFolded = (time: number): Fold | undefined =>
    folds.find((fold) => time > fold.from && time < fold.to);
  for (let time = from + step; time <= to && ticks.length < 9; time += step) {
    const fold = isFolded(time);
    // Continues behind the fold, at the next round distance.
    if (fold !== undefined) time = from + Math.ceil((fold.to - from) / step) * step;
    if (time > to || isFolded(time) !== undefined) continue;
    const position = at(time);
    if (position - (ticks.at(-1)?.position ?? 0) > 0.09) ticks.push({ position, ms: time - from });
  }
  return ticks;
}

const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500].concat(
  [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400].map(
    (seconds) => seconds * 1000,
  ),
);

function niceStep(least: number): number {
  return steps.find((step) => step >= least) ?? Math.ceil(least / 86_400_000) * 86_400_000;
}

function merge(intervals: readonly Interval[]): Interval[] {
  const merged: Interval[] = [];
  for (const { from, to } of intervals.toSorted((a, b) => a.from - b.from)) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last.to) last.to = Math.max(last.to, to);
    else merged.push({ from, to });
  }
  return merged;
}

function listSegments(from: number, to: number, busy: readonly Interval[]): (Interval & { busy: boolean })[] {
  const segments: (Interval & { busy: boolean })[] = [];
  let time = from;
  for (const interval of busy) {
    if (interval.from > time) segments.push({ from: time, to: interval.from, busy: false });
    segments.push({ ...interval, busy: true });
    time = interval.to;
  }
  if (time < to) segments.push({ from: time, to, busy: false });
  return segments;
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}
