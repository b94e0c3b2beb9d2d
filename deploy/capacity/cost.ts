/** `npm run capacity -- cost`: the cost of typical loads per month, by driver, with the dates of the prices. */
import { estimateCapacity } from './estimate.ts';
import { typicalLoads } from './loads.ts';
import { priceList } from './prices.ts';

export function describeCosts(): string {
  const estimates = Object.values(typicalLoads).map(({ description, load }) => ({
    description,
    costs: new Map(estimateCapacity(load).costs),
  }));
  const drivers = [...(estimates.at(-1)?.costs.keys() ?? [])];
  const total = (costs: ReadonlyMap<string, number>, without?: string): number =>
    [...costs].reduce((sum, [name, cost]) => (name === without ? sum : sum + cost), 0);
  const models = 'models: tokens';
  const rows = [
    ...drivers.map((name) => [name, ...estimates.map(({ costs }) => toDollars(costs.get(name) ?? 0))]),
    ['together', ...estimates.map(({ costs }) => toDollars(total(costs)))],
    ['without the model', ...estimates.map(({ costs }) => toDollars(total(costs, models)))],
  ];
  const width = Math.max(...rows.map(([name = '']) => name.length));
  const columns = Object.keys(typicalLoads).map((name) => name.padStart(10));
  const unconfirmed = Object.entries(priceList).flatMap(([name, { checked }]) =>
    checked.confirmed === 'yes' ? [] : [name],
  );
  const dates = Object.values(priceList).map(({ date }) => date);
  return [
    'US dollars per month at list prices, with all instances always at their peak',
    ...estimates.map(({ description }) => `  ${description}`),
    '',
    `  ${''.padEnd(width)}${columns.join('')}`,
    ...rows.map(
      ([name = '', ...cells]) => `  ${name.padEnd(width)}${cells.map((cell) => cell.padStart(10)).join('')}`,
    ),
    '',
    `Prices of ${dates.toSorted()[0]} to ${dates.toSorted().at(-1)}: deploy/capacity/prices.json`,
    `Not fully confirmed by a page of Google: ${unconfirmed.join(', ')}`,
  ].join('\n');
}

function toDollars(cost: number): string {
  return cost < 1 ? '<1' : Math.round(cost).toLocaleString('en-US');
}
