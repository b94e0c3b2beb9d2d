/** Figures of the cases, and alternating measurements: every round runs each contestant once, under the same conditions. */

/**
 * The warm-up of each contestant in seconds, until V8 has compiled its hot code, as in a process that runs for hours. Code
 * that runs once per set of a hundred rows needs that long.
 */
export const warmUpSeconds = 8;

/** Rounds of a comparison; their median counts. */
export const rounds = 5;

export type Contestants = Record<string, () => Promise<number>>;

/** @returns the median of each contestant over the rounds */
export async function alternate<T extends Contestants>(
  contestants: T,
  rounds: number,
): Promise<{ [K in keyof T]: number }> {
  const measured = Object.fromEntries(Object.keys(contestants).map((name) => [name, [] as number[]]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, measure] of Object.entries(contestants)) measured[name]?.push(await measure());
  }
  return Object.fromEntries(Object.entries(measured).map(([name, values]) => [name, median(values)])) as {
    [K in keyof T]: number;
  };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Options of `waitFor`. The polls use the measured database, so they are rare. */
export const polling = { everyMs: 20, boundMs: 120_000 };

/** One measured value. `target`: its lower or upper bound. */
export interface Figure {
  name: string;
  value: number;
  unit: string;
  target?: { at: 'least' | 'most'; value: number };
}

/** True without a target. */
export function isMet({ value, target }: Figure): boolean {
  if (target === undefined) return true;
  return target.at === 'least' ? value >= target.value : value <= target.value;
}

export type BenchCase = () => Promise<Figure[]>;

export const perSecond = (name: string, value: number): Figure => ({ name, value, unit: '/s' });
export const ms = (name: string, value: number, most?: number): Figure => ({
  name,
  value,
  unit: 'ms',
  ...(most !== undefined && { target: { at: 'most', value: most } }),
});
export const ratio = (name: string, value: number, least: number): Figure => ({
  name,
  value,
  unit: '×',
  target: { at: 'least', value: least },
});

/** The result of one run of a case. */
export interface CaseResult {
  /** Cases of different runs may come from different machines. */
  machine: string;
  at: string;
  seconds: number;
  /** Load average of the minute before the case. */
  loadBefore: number;
  figures: Figure[];
}
