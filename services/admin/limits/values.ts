/** The values of limits, as operators write and read them. 0 means no limit. */
import { ownerLimitNames, type OwnerLimit } from '#shared/domain/owner-limits.ts';

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;
const byteLimits: ReadonlySet<OwnerLimit> = new Set(['storedBytes', 'webhookBytesPerHour']);

export function isLimitName(name: string): name is OwnerLimit {
  return (ownerLimitNames as readonly string[]).includes(name);
}

/** Describes the accepted values, for messages. */
export function describeValues(limit: OwnerLimit): string {
  if (byteLimits.has(limit)) return 'a number of bytes from 0, such as 1048576 or 20 GiB';
  return limit === 'modelCostPerDay' ? 'a number from 0' : 'a whole number from 0';
}

/** Returns undefined if the value is not valid. */
export function parseLimit(limit: OwnerLimit, value: unknown): number | undefined {
  if (typeof value !== 'number' && typeof value !== 'string') return undefined;
  const [, digits, unit = 'B'] =
    /^(\d+(?:\.\d+)?)(?:\s*(KiB|MiB|GiB|TiB|B))?$/.exec(String(value).trim()) ?? [];
  if (digits === undefined || (unit !== 'B' && !byteLimits.has(limit))) return undefined;
  const number = Number(digits) * 1024 ** units.indexOf(unit as (typeof units)[number]);
  const rounded = byteLimits.has(limit) ? Math.round(number) : number;
  const valid =
    rounded <= Number.MAX_SAFE_INTEGER && (limit === 'modelCostPerDay' || Number.isInteger(rounded));
  return valid ? rounded : undefined;
}

/** @param value 0: no limit */
export function formatLimit(limit: OwnerLimit, value: number): string {
  return value === 0 ? 'none' : formatAmount(limit, value);
}

export function formatAmount(limit: OwnerLimit, amount: number): string {
  if (limit === 'modelCostPerDay') return String(Number(amount.toFixed(4)));
  if (!byteLimits.has(limit) || amount < 1024) return String(amount);
  const power = Math.min(units.length - 1, Math.floor(Math.log2(amount) / 10));
  return `${Number((amount / 1024 ** power).toFixed(1))} ${units[power]}`;
}
