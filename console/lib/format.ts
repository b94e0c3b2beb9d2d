/** Values as people read them. Pure: the same in a test and in a browser, except for the locale of numbers and dates. */

/** `340 ms`, `2.4 s`, `1 m 04 s`, `2 h 05 m`, `3 d 4 h`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${pad(seconds % 60)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} m`;
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** `now`, `12 s`, `5 m`, `3 h`, `2 d`, and weeks from two of them on. */
export function formatAge(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 2) return 'now';
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  const days = Math.floor(seconds / 86_400);
  return days < 14 ? `${days} d` : `${Math.floor(days / 7)} w`;
}

/** A cost in the operator's currency, without its name: the price table has none. */
export function formatCost(cost: number): string {
  if (cost === 0) return '0';
  if (cost < 0.000_001) return '< 0.000001';
  if (cost < 1) return String(Number(cost.toPrecision(2)));
  return cost.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

/** `950`, `12.3k`, `4.1M`. */
export function formatCount(count: number): string {
  if (count < 10_000) return count.toLocaleString('en-US');
  if (count < 1_000_000) return `${(count / 1000).toFixed(1)}k`;
  return `${(count / 1_000_000).toFixed(1)}M`;
}

/** `12 B`, `3.4 KiB`, `1.2 MiB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 ** 2) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

/** The exact time in the zone of the reader, with the zone. */
export function formatExactTime(iso: string, timeZone?: string): string {
  const time = Date.parse(iso);
  if (Number.isNaN(time)) return iso;
  return new Date(time).toLocaleString('en-GB', {
    year: 'numeric',
    month: 'short',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    fractionalSecondDigits: 3,
    timeZoneName: 'short',
    ...(timeZone !== undefined && { timeZone }),
  });
}

/** The time of day, with the day if it is not that of `now`. */
export function formatTime(iso: string, now: number, timeZone?: string): string {
  const zone = timeZone === undefined ? {} : { timeZone };
  const day = (time: number): string => new Date(time).toLocaleDateString('en-GB', zone);
  const time = Date.parse(iso);
  const clock = new Date(time).toLocaleTimeString('en-GB', zone);
  if (day(time) === day(now)) return clock;
  return `${new Date(time).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', ...zone })}, ${clock.slice(0, 5)}`;
}

/** The end of an id, which differs between tasks of one moment. */
export function shortId(id: string): string {
  return id.length > 12 ? id.slice(-8) : id;
}

/** Controls, and characters that reorder text, as `\u{202e}`: a name must not look like another one. */
export function toVisible(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\u{202a}-\u{202e}\u{2066}-\u{2069}]/gu,
    (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`,
  );
}

/** One line of at most `length` characters, all of them visible. */
export function toLine(text: string, length: number): string {
  const line = toVisible(text.replaceAll(/\s+/g, ' ').trim());
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`;
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}
