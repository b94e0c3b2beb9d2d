/** The series of a soak as small charts, those with findings first. */

const columns = 3;
const chart = { width: 300, height: 110, left: 12, top: 30 };

export interface Series {
  name: string;
  unit: string;
  values: number[];
  isFinding: boolean;
}

/** @param from the first sample that is judged; those before it are drawn in grey */
export function plotSeries(series: readonly Series[], minutes: number, from: number): string {
  const sorted = series.toSorted((a, b) => Number(b.isFinding) - Number(a.isFinding));
  const height = chart.height * Math.ceil(sorted.length / columns) + 30;
  const drawn = sorted.map((one, at) =>
    plotOne(one, from, (at % columns) * chart.width, 30 + Math.floor(at / columns) * chart.height),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${columns * chart.width} ${height}" font-family="system-ui, sans-serif" font-size="11" role="img" aria-label="Memory, sizes, dead rows and latencies over ${minutes} minutes">`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    `<text x="${chart.left}" y="18" fill="#1a202c">${minutes} minutes; grey: before retention and caches are steady; orange: rises</text>`,
    ...drawn,
    '</svg>',
    '',
  ].join('\n');
}

function plotOne({ name, unit, values, isFinding }: Series, from: number, x: number, y: number): string {
  const most = Math.max(...values, Number.MIN_VALUE);
  const width = chart.width - 2 * chart.left;
  const height = chart.height - chart.top - 16;
  const points = values.map((value, at) => {
    const px = x + chart.left + (width * at) / Math.max(1, values.length - 1);
    const py = y + chart.top + height * (1 - value / most);
    return `${px.toFixed(1)},${py.toFixed(1)}`;
  });
  const line = (part: string[], color: string) =>
    `<polyline points="${part.join(' ')}" fill="none" stroke="${color}" stroke-width="1.5"/>`;
  const format = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} ${unit}`.trim();
  const bottom = y + chart.top + height;
  return [
    `<text x="${x + chart.left}" y="${y + 14}" fill="#1a202c">${name}</text>`,
    `<text x="${x + chart.left}" y="${y + 26}" fill="#4a5568">at most ${format(most)}, at the end ${format(values.at(-1) ?? 0)}</text>`,
    `<line x1="${x + chart.left}" y1="${bottom}" x2="${x + chart.left + width}" y2="${bottom}" stroke="#cbd5e0"/>`,
    line(points.slice(0, from + 1), '#a0aec0'),
    line(points.slice(from), isFinding ? '#c05621' : '#2f855a'),
  ].join('\n');
}
