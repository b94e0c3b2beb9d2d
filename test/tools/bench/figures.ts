/** The results as a page of tables, so that the docs show measured figures, including missed targets. */
import { isMet, type CaseResult, type Figure } from './rounds.ts';

export function formatFigures(cases: Record<string, CaseResult>): string {
  const sections = Object.entries(cases).flatMap(([name, { machine, at, seconds, loadBefore, figures }]) => [
    `## ${name}`,
    '',
    `${at.slice(0, 16).replace('T', ' ')} UTC, ${seconds} s, load average before it ${loadBefore.toFixed(1)}. ${machine}.`,
    '',
    '| figure | measured | target | |',
    '|---|---:|---:|---|',
    ...figures.map(formatRow),
    '',
  ]);
  const head = [
    '# Figures',
    '',
    'Written by `npm run bench`. Figures of different machines cannot be compared.',
    '',
  ];
  return [...head, ...sections].join('\n');
}

function formatRow(figure: Figure): string {
  const { name, value, unit, target } = figure;
  const bound = target === undefined ? '' : `${target.at === 'least' ? '≥' : '≤'} ${target.value} ${unit}`;
  const result = target === undefined ? '' : isMet(figure) ? 'met' : '**missed**';
  return `| ${name} | ${formatValue(value)} ${unit} | ${bound} | ${result} |`;
}

/** At least three digits. */
export function formatValue(value: number): string {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}
