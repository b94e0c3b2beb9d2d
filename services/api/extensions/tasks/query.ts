/** Parameters that several routes of the extension have. */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import { databaseNow } from '#shared/runtime/clock.ts';
import { day, integer, text } from '../../http/openapi/schema.ts';
import type { Query } from '../../http/query.ts';

const maxPageSize = 100;
const defaultPageSize = 50;
const dayMs = 86_400_000;
const defaultDays = 30;
const maxDays = 366;
const endTime = Date.UTC(10_000, 0, 1);

const pageSize = { ...integer, minimum: 1, maximum: maxPageSize, default: defaultPageSize };

/** Their schemas, for the OpenAPI document. */
export const pageSizeParameter = { pageSize };
export const pageParameters = {
  pageSize,
  pageToken: { ...text, description: 'The nextPageToken of the page before.' },
};
export const dayParameters = {
  since: { ...day, description: `The first day. Default: ${defaultDays} days up to the last one.` },
  until: { ...day, description: 'The last day, included. Default: today.' },
};

/** @throws {RequestMalformedError} */
export function readPageSize(query: Query): number {
  const size = query.integer('pageSize') ?? defaultPageSize;
  if (size >= 1 && size <= maxPageSize) return size;
  throw new RequestMalformedError(`pageSize must be from 1 to ${maxPageSize}, not ${size}`);
}

/** @throws {RequestMalformedError} if the parameter is not a time from 1970 to 9999 */
export function readTime(query: Query, name: string): Date | undefined {
  const text = query.string(name);
  if (text === undefined) return undefined;
  const time = Date.parse(text);
  if (time >= 0 && time < endTime) return new Date(time);
  throw new RequestMalformedError(
    `${name} must be an ISO 8601 time such as 2026-01-31T12:00:00Z, not "${text.slice(0, 40)}"`,
  );
}

/** @throws {RequestMalformedError} if the parameter is not a day from 1970 to 9999 */
function readDay(query: Query, name: string): string | undefined {
  const text = query.string(name);
  if (text === undefined) return undefined;
  const time = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(text) : NaN;
  // Date.parse accepts the 31st of every month.
  if (time >= 0 && new Date(time).toISOString().startsWith(text)) return text;
  throw new RequestMalformedError(`${name} must be a day such as 2026-01-31, not "${text.slice(0, 40)}"`);
}

/**
 * Reads `since` and `until`: the first and the last day, both included. Default: the last 30 days (UTC).
 *
 * @throws {RequestMalformedError} if they are not days, or span more than 366
 */
export function readDays(query: Query): { since: string; until: string } {
  const until = readDay(query, 'until') ?? toDay(databaseNow());
  const since = readDay(query, 'since') ?? toDay(Date.parse(until) - (defaultDays - 1) * dayMs);
  const days = (Date.parse(until) - Date.parse(since)) / dayMs + 1;
  if (days >= 1 && days <= maxDays) return { since, until };
  throw new RequestMalformedError(`since and until must span 1 to ${maxDays} days, not ${days}`);
}

const toDay = (time: number): string => new Date(Math.max(0, time)).toISOString().slice(0, 10);
