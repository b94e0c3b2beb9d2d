/** Measuring in alternation: each round has every contestant once, so that what the machine does besides hits all alike. */
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Until V8 has compiled what runs often, as it has in a process that lives for hours; for every contestant alike. What
 * runs once for a set of a hundred takes that long.
 */
export const warmUpSeconds = 8;

/** Of what is compared; the median of so many. */
export const rounds = 5;

export type Contestants = Record<string, () => Promise<number>>;

/** @returns the median of each over the rounds */
export async function alternate<T extends Contestants>(
  contestants: T,
  rounds: number,
): Promise<{ [K in keyof T]: number }> {
  const seen = Object.fromEntries(Object.keys(contestants).map((name) => [name, [] as number[]]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, measure] of Object.entries(contestants)) seen[name]?.push(await measure());
  }
  return Object.fromEntries(Object.entries(seen).map(([name, values]) => [name, median(values)])) as {
    [K in keyof T]: number;
  };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Looks again and again. @throws {Error} after two minutes: what is measured has stopped */
export async function until(done: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 120_000;
  while (!(await done())) {
    if (performance.now() > deadline) throw new Error('what is measured has stopped');
    await sleep(20);
  }
}

/** What a case found. `target`: what the figure should be at least or at most. */
export interface Figure {
  name: string;
  value: number;
  unit: string;
  target?: { at: 'least' | 'most'; value: number };
}

/** True where there is no target. */
export function isMet({ value, target }: Figure): boolean {
  if (target === undefined) return true;
  return target.at === 'least' ? value >= target.value : value <= target.value;
}

export type Case = () => Promise<Figure[]>;

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

/** What a run of a case found. */
export interface Result {
  at: string;
  seconds: number;
  /** How many processes wanted to run in the minute before the case: what else the machine was doing. */
  loadBefore: number;
  figures: Figure[];
}
