/** What JSON from clients must be before anything looks into it. */
import { RequestMalformedError } from '@a2a-js/sdk/errors';

/** The bound of the JSON form of Protocol Buffers, which A2A is defined in; what reads or writes JSON may recurse. */
const maxDepth = 100;

/** Of a whole body: what is in it may be as deep as it may be, and the request stands around it. */
export const maxBodyDepth = maxDepth + 20;

/** @throws {RequestMalformedError} for objects and arrays that are nested too deeply */
export function checkDepth(name: string, value: unknown, max: number = maxDepth): void {
  if (isDeeper(value, max)) {
    throw new RequestMalformedError(`${name} is nested more than ${max} levels deep`);
  }
}

/** Goes no deeper than `max`, whatever the value. */
function isDeeper(value: unknown, max: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (max < 0) return true;
  if (Array.isArray(value)) return value.some((one) => isDeeper(one, max - 1));
  // A list of the values, made for each object, would cost five times as much.
  for (const key in value) if (isDeeper(value[key as keyof typeof value], max - 1)) return true;
  return false;
}
