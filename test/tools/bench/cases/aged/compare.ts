/** Measures the same on both sides, by turns, and compares the pairs. */
import { median, rounds, type Figure } from '../../rounds.ts';
import type { Side } from './sides.ts';

export interface Measurement {
  name: string;
  /** More is better for rates, and less for times. */
  unit: '/s' | 'ms';
  measure: (side: Side) => Promise<number>;
  /** Whether it has a target. Default: true. */
  isHot?: boolean;
}

/** The figure with many tasks is at least so much of the one with few. */
const leastRatio = 0.9;

/**
 * Each round measures both sides right after each other, in alternating order, after a warm-up of each.
 *
 * @returns the figure with many tasks, and the median of the ratios of the rounds, in which more is better
 */
export async function compare(
  sides: readonly [few: Side, many: Side],
  { name, unit, measure, isHot = true }: Measurement,
): Promise<Figure[]> {
  for (const side of sides) await measure(side);
  const many: number[] = [];
  const ratios: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const measured = { few: 0, many: 0 };
    const order = round % 2 === 0 ? sides : sides.toReversed();
    for (const side of order) measured[side.name] = await measure(side);
    many.push(measured.many);
    ratios.push(unit === 'ms' ? measured.few / measured.many : measured.many / measured.few);
  }
  console.log(
    `  ${name}: ${median(many).toFixed(1)} ${unit}, ${median(ratios).toFixed(2)} of that with few tasks`,
  );
  return [
    { name, value: median(many), unit },
    {
      name: `${name}, of that with few tasks`,
      value: median(ratios),
      unit: '×',
      ...(isHot && { target: { at: 'least' as const, value: leastRatio } }),
    },
  ];
}
