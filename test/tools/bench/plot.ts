/** A chart of the figures with targets: a bar for each, by the factor to its target, on one logarithmic scale. */
import type { Figure } from './rounds.ts';

const width = 860;
const rowHeight = 24;
const labels = 330;
const values = 130;
const decades = 1.2; // the widest bar in each direction: a factor of 16

interface Row {
  label: string;
  measured: string;
  /** Above 1: better than the target. */
  factor: number;
}

export function plot(cases: Record<string, { figures: Figure[] }>): string {
  const rows = Object.entries(cases).flatMap(([name, { figures }]) =>
    figures.flatMap((figure) => toRows(name, figure)),
  );
  const height = rowHeight * (rows.length + 2);
  const span = width - labels - values;
  const middle = labels + span / 2;
  const drawn = rows.map(({ label, measured, factor }, index) => {
    const y = rowHeight * (index + 1.5);
    const length = (Math.max(-decades, Math.min(decades, Math.log10(factor))) / decades) * (span / 2);
    const bar = `<rect x="${formatNumber(Math.min(middle, middle + length))}" y="${y + 4}" width="${formatNumber(Math.abs(length))}" height="${rowHeight - 8}" rx="2" fill="${factor >= 1 ? '#2f855a' : '#c05621'}"/>`;
    return [
      createText(labels - 12, y + 16, label, 'end'),
      bar,
      createText(width - values + 12, y + 16, measured, 'start'),
    ].join('\n');
  });
  const bottom = height - rowHeight / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="Measured figures against their targets">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    createText(middle, 18, '◀ misses its target   ·   better than its target ▶', 'middle'),
    ...drawn,
    `<line x1="${middle}" y1="${rowHeight}" x2="${middle}" y2="${bottom}" stroke="#4a5568"/>`,
    '</svg>',
    '',
  ].join('\n');
}

function toRows(name: string, { name: figure, value, unit, target }: Figure): Row[] {
  if (target === undefined) return [];
  const factor = target.at === 'least' ? value / target.value : target.value / value;
  const measured = `${value.toFixed(value < 10 ? 1 : 0)} ${unit} (${target.at === 'least' ? '≥' : '≤'} ${target.value})`;
  return [{ label: `${name}: ${figure}`, measured, factor }];
}

function createText(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end'): string {
  return `<text x="${formatNumber(x)}" y="${y}" text-anchor="${anchor}" fill="#1a202c">${content}</text>`;
}

function formatNumber(value: number): string {
  return value.toFixed(1);
}
