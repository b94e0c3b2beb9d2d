/** The figures as a page of tables, so that what the docs show is what was measured, missed targets included. */
import type { Result } from './rounds.ts';
import { isMet, type Figure } from './rounds.ts';

export function table(machine: string, cases: Record<string, Result>): string {
  const sections = Object.entries(cases).flatMap(([name, { at, seconds, loadBefore, figures }]) => [
    `## ${name}`,
    '',
    `${at.slice(0, 16).replace('T', ' ')} UTC, ${seconds} s, load average before it ${loadBefore.toFixed(1)}`,
    '',
    '| figure | measured | target | |',
    '|---|---:|---:|---|',
    ...figures.map(row),
    '',
  ]);
  const head = ['# Figures', '', `Written by \`npm run bench\` on ${machine}.`, ''];
  return [...head, ...sections].join('\n');
}

function row(figure: Figure): string {
  const { name, value, unit, target } = figure;
  const wanted = target === undefined ? '' : `${target.at === 'least' ? '≥' : '≤'} ${target.value} ${unit}`;
  const verdict = target === undefined ? '' : isMet(figure) ? 'met' : '**missed**';
  return `| ${name} | ${shown(value)} ${unit} | ${wanted} | ${verdict} |`;
}

/** Three digits or more. */
export function shown(value: number): string {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}
