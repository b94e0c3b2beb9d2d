/** Stacked bars by day. The library is loaded with this screen. The table below the plot has the same in numbers. */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type uPlot from 'uplot';
import { formatCost, formatCount } from '../../lib/format.ts';
import type { Measure, UsageSeries } from '../../lib/usage-series.ts';
import { theme } from '../../shell/theme.ts';

const height = 260;
const colorNames = [
  '--active-bar',
  '--good-bar',
  '--wait-bar',
  '--accent',
  '--bad-bar',
  '--neutral-bar',
  '--muted-bar',
];

interface PlotProps {
  series: UsageSeries;
  measure: Measure;
  by: 'model' | 'owner';
}

export function Plot({ series, measure, by }: PlotProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [dark, setDark] = useState(0);
  useEffect(() => {
    const query = matchMedia('(prefers-color-scheme: dark)');
    const change = (): void => setDark((count) => count + 1);
    query.addEventListener('change', change);
    return () => query.removeEventListener('change', change);
  }, []);
  useEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    let plot: uPlot | undefined;
    let closed = false;
    const observer = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height }));
    void import('uplot').then(({ default: Plot }) => {
      if (closed) return;
      const data = [series.days, ...series.entries.map(({ stacked }) => stacked)];
      plot = new Plot(
        createOptions(element, series, measure, Plot.paths.bars),
        data as uPlot.AlignedData,
        element,
      );
      observer.observe(element);
    });
    return () => {
      closed = true;
      observer.disconnect();
      plot?.destroy();
    };
  }, [series, measure, theme.value, dark]);
  return (
    <>
      <div class="plot" ref={box} role="img" aria-label={`${measure} by day and ${by}`} />
      <ul class="legend">
        {series.entries.map(({ name }, index) => (
          <li key={name}>
            <span class={`swatch swatch-${index}`} />
            {name}
          </li>
        ))}
      </ul>
    </>
  );
}

function createOptions(
  element: HTMLElement,
  { entries }: UsageSeries,
  measure: Measure,
  bars: uPlot.Series.BarsPathBuilderFactory | undefined,
): uPlot.Options {
  const style = getComputedStyle(element);
  const resolve = createResolve(element);
  const paths = bars?.({ size: [0.7, 48], radius: 0.15 });
  const format = measure === 'cost' ? formatCost : formatCount;
  const axis = {
    stroke: resolve('--text-soft'),
    grid: { stroke: resolve('--line'), width: 1 },
    ticks: { show: false },
    font: `12px ${style.fontFamily}`,
  };
  return {
    width: element.clientWidth,
    height,
    legend: { show: false },
    cursor: { show: false },
    tzDate: (seconds) => toUtc(seconds),
    scales: { x: { time: true }, y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.08 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, values: (_plot, ticks) => ticks.map(formatDay) },
      { ...axis, size: 64, values: (_plot, ticks) => ticks.map(format) },
    ],
    series: [
      {},
      ...entries.map(({ name }, index) => ({
        label: name,
        fill: resolve(colorNames[index % colorNames.length] ?? '--accent'),
        width: 0,
        points: { show: false },
        ...(paths && { paths }),
      })),
    ],
  };
}

/** The canvas knows no light-dark(), so the browser computes the colour of a property first. */
function createResolve(element: HTMLElement): (name: string) => string {
  return (name) => {
    const probe = document.createElement('span');
    probe.style.color = `var(${name})`;
    element.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  };
}

/** A date whose local fields are those of UTC: days of the report are days of UTC. */
function toUtc(seconds: number): Date {
  const date = new Date(seconds * 1000);
  return new Date(date.getTime() + date.getTimezoneOffset() * 60_000);
}

function formatDay(seconds: number): string {
  return new Date(seconds * 1000).toLocaleDateString('en-GB', {
    day: 'numeric',
    month: 'short',
    timeZone: 'UTC',
  });
}
