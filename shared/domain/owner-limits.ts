/** The limits of one owner, over all its tenants: callers choose tenants freely. 0 means no limit. */
export interface OwnerLimits {
  /** Turns that run at the same time, on all workers together. Further turns wait. */
  concurrentTurns: number;
  /** Tasks that have not ended. */
  openTasks: number;
  /** Bytes of stored tasks: messages, events, artifacts, steps and files. */
  storedBytes: number;
  /** Webhook configs of all stored tasks. */
  webhookConfigs: number;
  /** Bytes of webhook bodies that are sent in an hour, including repeated attempts. */
  webhookBytesPerHour: number;
  /** Cost of model calls since midnight UTC, in the currency of the price list. */
  modelCostPerDay: number;
  /** Schedules, paused ones too. */
  schedules: number;
}

export type OwnerLimit = keyof OwnerLimits;

export const ownerLimitNames = [
  'openTasks',
  'concurrentTurns',
  'storedBytes',
  'webhookConfigs',
  'webhookBytesPerHour',
  'modelCostPerDay',
  'schedules',
] as const satisfies readonly OwnerLimit[];

/** The limits of an owner, and what it uses of them. */
export interface OwnerReport {
  owner: string;
  /** Limits that are set for this owner. */
  own: Partial<OwnerLimits>;
  limits: OwnerLimits;
  usage: OwnerLimits;
  /** Limits that are used to 80%. */
  near: OwnerLimit[];
}

/** Returns the share of a limit that an owner uses; 0 without a limit. */
export function getShare(limits: OwnerLimits, usage: OwnerLimits, limit: OwnerLimit): number {
  return limits[limit] === 0 ? 0 : usage[limit] / limits[limit];
}

export const limitColumns = ['OWNER', 'LIMIT', 'USED', 'MAX', 'SHARE', 'SET'] as const;

/**
 * Returns a row for each limit of an owner, with the cells of `limitColumns`.
 *
 * @param all false: only limits that it is near, or that are set for it
 */
export function toLimitRows({ owner, own, limits, usage, near }: OwnerReport, all: boolean): string[][] {
  const shown = ownerLimitNames.filter((limit) => all || near.includes(limit) || own[limit] !== undefined);
  return shown.map((limit) => {
    return [
      owner,
      limit,
      formatAmount(limit, usage[limit]),
      formatLimit(limit, limits[limit]),
      limits[limit] !== 0 ? `${Math.floor(100 * getShare(limits, usage, limit))}%` : '-',
      own[limit] === undefined ? 'default' : 'own',
    ];
  });
}

export const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;
export const byteLimits: ReadonlySet<OwnerLimit> = new Set(['storedBytes', 'webhookBytesPerHour']);

/** @param value 0: no limit */
export function formatLimit(limit: OwnerLimit, value: number): string {
  return value === 0 ? 'none' : formatAmount(limit, value);
}

function formatAmount(limit: OwnerLimit, amount: number): string {
  if (limit === 'modelCostPerDay') return String(Number(amount.toFixed(4)));
  if (!byteLimits.has(limit) || amount < 1024) return String(amount);
  const power = Math.min(byteUnits.length - 1, Math.floor(Math.log2(amount) / 10));
  return `${Number((amount / 1024 ** power).toFixed(1))} ${byteUnits[power]}`;
}

/** Returns the seconds from `now` (milliseconds since 1970) to the next midnight UTC, when the cost of a day starts again at 0. */
export function secondsToMidnight(now: number): number {
  const dayMs = 86_400_000;
  return Math.ceil((dayMs - (now % dayMs)) / 1000);
}
