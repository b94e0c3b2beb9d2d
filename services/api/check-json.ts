/** What JSON from clients must be before anything looks into it. */
import { RequestMalformedError } from '@a2a-js/sdk/errors';

/** The bound of the JSON form of Protocol Buffers, which A2A is defined in; what reads or writes JSON may recurse. */
const maxDepth = 100;

/** Of a whole body: what is in it may be as deep as it may be, and the request stands around it. */
export const maxBodyDepth = maxDepth + 20;

/** @throws {RequestMalformedError} for objects and arrays that are nested too deeply */
export function checkDepth(name: string, value: unknown, max: number = maxDepth): void {
  let level = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > max) {
      throw new RequestMalformedError(`${name} is nested more than ${max} levels deep`);
    }
    level = level.flatMap((one) =>
      typeof one === 'object' && one !== null ? (Object.values(one) as unknown[]).filter(isNested) : [],
    );
  }
}

function isNested(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}
