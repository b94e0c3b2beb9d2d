/** The usage of an owner as series for a plot: one for each model, with a value for each day. Pure. */
import { sumUsage, totalTokens, type Usage } from '#shared/domain/usage.ts';
import type { UsageReport } from '#shared/domain/views.ts';

export type Measure = 'cost' | 'tokens' | 'calls';

export interface UsageSeries {
  /** Seconds since 1970 of the start of each day, in UTC. */
  days: number[];
  /** The models with the most first. The values are stacked: each includes those of the models after it. */
  models: { model: string; values: number[]; stacked: number[] }[];
}

/** More models than these are added up as "other". */
const mostModels = 6;
const dayMs = 86_400_000;

export const toDay = (time: number): string => new Date(time).toISOString().slice(0, 10);

export function createSeries({ since, until, lines }: UsageReport, measure: Measure): UsageSeries {
  const first = Date.parse(since);
  const count = Math.round((Date.parse(until) - first) / dayMs) + 1;
  const days = Array.from({ length: count }, (_, index) => first / 1000 + index * 86_400);
  const byModel = new Map<string, number[]>();
  for (const line of lines) {
    const values = byModel.get(line.model) ?? Array.from({ length: count }, () => 0);
    byModel.set(line.model, values);
    const index = Math.round((Date.parse(line.day) - first) / dayMs);
    values[index] = (values[index] ?? 0) + getValue(line, measure);
  }
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const sorted = [...byModel]
    .map(([model, values]) => ({ model, values }))
    .sort((a, b) => sum(b.values) - sum(a.values));
  const shown = sorted.slice(0, mostModels);
  const others = sorted.slice(mostModels);
  if (others.length > 0) {
    const values = days.map((_, index) => sum(others.map((entry) => entry.values[index] ?? 0)));
    shown.push({ model: 'other', values });
  }
  const models = shown.map(({ model, values }, at) => ({
    model,
    values,
    stacked: days.map((_, index) => sum(shown.slice(at).map((entry) => entry.values[index] ?? 0))),
  }));
  return { days, models };
}

/** The usage of each model over all days, the most costly first. */
export function sumModels(lines: UsageReport['lines']): { model: string; usage: Usage }[] {
  const sums = new Map<string, Usage>();
  for (const { model, day: _day, ...usage } of lines) {
    const known = sums.get(model);
    sums.set(model, known === undefined ? usage : sumUsage(known, usage));
  }
  return [...sums]
    .map(([model, usage]) => ({ model, usage }))
    .sort((a, b) => b.usage.cost - a.usage.cost || b.usage.calls - a.usage.calls);
}

function getValue(usage: Usage, measure: Measure): number {
  if (measure === 'tokens') return totalTokens(usage.tokens);
  return usage[measure];
}
