/** Line icons on a grid of 16 units. They are decoration: the control or the text next to them has the name. */
import type { JSX } from 'preact';

const paths = {
  tasks: 'M2.5 4h1M6 4h7.5M2.5 8h1M6 8h7.5M2.5 12h1M6 12h7.5',
  inbox: 'M2 9l2-6h8l2 6v4H2zM2 9h3.5l1 2h3l1-2H14',
  plus: 'M8 3v10M3 8h10',
  webhook: 'M5.5 8.5L8 4a2 2 0 1 1 2 2.6M8 11.5h3.5a2 2 0 1 1-1.2 2M6 13a2 2 0 1 1-1.8-3.4L6.5 6',
  clock: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.8V8l2.2 1.6',
  chart: 'M2.5 13.5h11M4 11V7.5M8 11V3.5M12 11V6',
  gauge: 'M2.5 12a6 6 0 1 1 11 0M8 11l2.5-4M6.5 12h3',
  agent: 'M4 6h8a1 1 0 0 1 1 1v5a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1zM8 6V3M6 9v1M10 9v1',
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.7 10.7L14 14',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M3.4 12.6l.7-.7M11.9 4.1l.7-.7',
  moon: 'M13 9.5A5.5 5.5 0 0 1 6.5 3 5.5 5.5 0 1 0 13 9.5z',
  screen: 'M2.5 3h11v7.5h-11zM6 13.5h4M8 10.5v3',
  copy: 'M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3',
  check: 'M3 8.5l3.5 3.5L13 4.5',
  close: 'M4 4l8 8M12 4l-8 8',
  next: 'M6 3.5L10.5 8 6 12.5',
  back: 'M10 3.5L5.5 8l4.5 4.5',
  down: 'M3.5 6L8 10.5 12.5 6',
  refresh: 'M13 8a5 5 0 1 1-1.5-3.6M13 2.5v3h-3',
  stop: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM4 12l8-8',
  alert: 'M8 2.5l6 11H2zM8 6.5v3M8 11.5v.2',
  file: 'M4 1.5h5l3 3v10H4zM9 1.5v3h3',
  download: 'M8 2.5v8M4.5 7.5L8 11l3.5-3.5M3 13.5h10',
  key: 'M6 10a3 3 0 1 0 0-1M8.9 9.2H14v2.3M11.5 9.2v2',
  menu: 'M2.5 4.5h11M2.5 8h11M2.5 11.5h11',
  help: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM6.3 6.3a1.7 1.7 0 1 1 2.4 1.6c-.5.3-.7.6-.7 1.2M8 11.2v.2',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  play: 'M5 3l8 5-8 5z',
  trash: 'M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.5 9h6l.5-9',
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
