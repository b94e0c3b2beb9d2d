/** Fields in the bodies of extension routes. Unknown ones are refused: a misspelled `dryRun` must change nothing. */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { Params } from '../handler/operations.ts';
import { checkId } from '../handler/validate/message.ts';
import type { ObjectSchema } from '../http/openapi/schema.ts';

/** The most tasks, or webhooks, of one request. */
export const maxItems = 100;

/**
 * @param schema undefined: there are no fields
 * @throws {RequestMalformedError}
 */
export function checkKnown(body: Params, schema: ObjectSchema | undefined): void {
  const { properties = {} } = schema ?? {};
  const unknown = Object.keys(body).find((name) => !Object.hasOwn(properties, name));
  if (unknown === undefined) return;
  const known = Object.keys(properties).join(', ') || 'none';
  throw new RequestMalformedError(
    `"${unknown.slice(0, 40)}" is not a field of this request: it has ${known}`,
  );
}

/** @throws {RequestMalformedError} */
export function readFlag(body: Params, name: string): boolean {
  const value = body[name] ?? false;
  if (typeof value === 'boolean') return value;
  throw new RequestMalformedError(`${name} must be true or false`);
}

/** @throws {RequestMalformedError} unless it has 1 to 100 items */
export function readList(body: Params, name: string): unknown[] {
  const value = body[name];
  if (Array.isArray(value) && value.length > 0 && value.length <= maxItems) return value as unknown[];
  throw new RequestMalformedError(`${name} must be a list of 1 to ${maxItems} items`);
}

/**
 * Returns the ids of `taskIds`, each once. They need not be ids of tasks.
 *
 * @throws {RequestMalformedError}
 */
export function readTaskIds(body: Params): string[] {
  return [...new Set(readList(body, 'taskIds').map((id) => readTaskId('taskIds', id)))];
}

/** @throws {RequestMalformedError} */
export function readTaskId(name: string, value: unknown): string {
  if (typeof value !== 'string')
    throw new RequestMalformedError(`${name} must contain ids of tasks, as strings`);
  checkId(name, value, true);
  return value;
}
