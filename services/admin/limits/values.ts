/** The values of limits, as operators write them. 0 means no limit. */
import { byteLimits, byteUnits, ownerLimitNames, type OwnerLimit } from '#shared/domain/owner-limits.ts';

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
  const number = Number(digits) * 1024 ** byteUnits.indexOf(unit as (typeof byteUnits)[number]);
  const rounded = byteLimits.has(limit) ? Math.round(number) : number;
  const valid =
    rounded <= Number.MAX_SAFE_INTEGER && (limit === 'modelCostPerDay' || Number.isInteger(rounded));
  return valid ? rounded : undefined;
}

/** The forms of names of owners (services/api/auth/caller.ts); `anonymous` owns what is created without authentication. */
export const ownerForms = 'key:NAME or ISSUER|SUBJECT, or anonymous without authentication';

/** Whether a caller may have this name. */
export function isOwnerName(name: string): boolean {
  return name === 'anonymous' || /^key:.|.\|./.test(name);
}
