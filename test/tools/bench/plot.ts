/** The figures that have a target as bars, on one scale: how many times better, or worse, than the target each is. */
import type { Figure } from './rounds.ts';

const width = 860;
const rowHeight = 24;
const labels = 330;
const values = 130;
const decades = 1.2; // the widest bar either way: a factor of 16

interface Row {
  label: string;
  shown: string;
  /** Above 1: better than the target. */
  factor: number;
}

export function plot(cases: Record<string, { figures: Figure[] }>): string {
  const rows = Object.entries(cases).flatMap(([name, { figures }]) =>
    figures.flatMap((figure) => rowOf(name, figure)),
  );
  const height = rowHeight * (rows.length + 2);
  const span = width - labels - values;
  const middle = labels + span / 2;
  const drawn = rows.map(({ label, shown, factor }, index) => {
    const y = rowHeight * (index + 1.5);
    const length = (Math.max(-decades, Math.min(decades, Math.log10(factor))) / decades) * (span / 2);
    const bar = `<rect x="${fixed(Math.min(middle, middle + length))}" y="${y + 4}" width="${fixed(Math.abs(length))}" height="${rowHeight - 8}" rx="2" fill="${factor >= 1 ? '#2f855a' : '#c05621'}"/>`;
    return [
      text(labels - 12, y + 16, label, 'end'),
      bar,
      text(width - values + 12, y + 16, shown, 'start'),
    ].join('\n');
  });
  const bottom = height - rowHeight / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="Measured figures against their targets">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(middle, 18, '◀ misses its target   ·   better than its target ▶', 'middle'),
    ...drawn,
    `<line x1="${middle}" y1="${rowHeight}" x2="${middle}" y2="${bottom}" stroke="#4a5568"/>`,
    '</svg>',
    '',
  ].join('\n');
}

function rowOf(name: string, { name: what, value, unit, target }: Figure): Row[] {
  if (target === undefined) return [];
  const factor = target.at === 'least' ? value / target.value : target.value / value;
  const shown = `${value.toFixed(value < 10 ? 1 : 0)} ${unit} (${target.at === 'least' ? '≥' : '≤'} ${target.value})`;
  return [{ label: `${name}: ${what}`, shown, factor }];
}

function text(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end'): string {
  return `<text x="${fixed(x)}" y="${y}" text-anchor="${anchor}" fill="#1a202c">${content}</text>`;
}

function fixed(value: number): string {
  return value.toFixed(1);
}
