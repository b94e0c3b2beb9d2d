/**
 * Bounds JSON of callers by its number of values and its depth. A value of two characters (`{}`) takes 100 bytes of
 * memory and some time in every function that handles it, so a limit in bytes does not bound the work.
 */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import { findMark, findStringEnd } from '#shared/runtime/json-text.ts';

/** Values in one request: objects, arrays, and what they contain. Parsing that many takes at most 40 ms. */
const maxValues = 50_000;

/** The recursion limit of ProtoJSON, in which A2A is defined. Code that reads or writes JSON may recurse. */
const maxDepth = 100;
/** For a whole body: room for the request around values of `maxDepth`. */
const maxBodyDepth = maxDepth + 20;

const quote = 0x22;
const comma = 0x2c;
const openBracket = 0x5b;
const openBrace = 0x7b;

/**
 * Checks JSON text before it is parsed, in one pass that stops at the first excess. It counts commas and brackets
 * outside of strings, so text that is not JSON is left to the parser.
 *
 * @throws {RequestMalformedError}
 */
export function checkJsonText(name: string, text: string): void {
  let values = 0;
  let depth = 0;
  for (let index = findMark(text, 0); index !== -1; index = findMark(text, index + 1)) {
    const char = text.charCodeAt(index);
    if (char === quote) {
      index = findStringEnd(text, index);
      if (index === -1) return;
    } else if (char === comma) {
      values += 1;
    } else if (char === openBrace || char === openBracket) {
      values += 1;
      depth += 1;
      if (depth > maxBodyDepth) throw tooDeep(name, maxBodyDepth);
    } else {
      depth -= 1;
      // It is not JSON, and may have nothing but such brackets.
      if (depth < 0) return;
    }
    if (values > maxValues) throw tooMany(name);
  }
}

/** Checks values of one request that no text was read for (gRPC), or that have a limit of their own. */
export class JsonBounds {
  #left = maxValues;

  /**
   * @throws {RequestMalformedError} if objects and arrays are nested deeper than 100 levels, or if all values checked
   * by this object are too many together, or if a number has no form in JSON
   */
  check(name: string, value: unknown): void {
    if (typeof value === 'object' && value !== null) this.#visit(name, value, maxDepth);
    else checkNumber(name, value);
  }

  #visit(name: string, container: object, levels: number): void {
    if (levels < 0) throw tooDeep(name, maxDepth);
    this.#count(name);
    // Building an array of the values of each object would cost five times as much.
    for (const key in container) {
      const value: unknown = container[key as keyof typeof container];
      if (typeof value === 'object' && value !== null) this.#visit(name, value, levels - 1);
      else {
        this.#count(name);
        checkNumber(name, value);
      }
    }
  }

  #count(name: string): void {
    this.#left -= 1;
    if (this.#left < 0) throw tooMany(name);
  }
}

/** NaN and infinity arrive over gRPC, and as 1e999 in JSON. They would be stored as null. */
function checkNumber(name: string, value: unknown): void {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new RequestMalformedError(
      `${name} has a number that is too large or not a number: send it as text`,
    );
  }
}

function tooDeep(name: string, max: number): Error {
  return new RequestMalformedError(`${name} is nested too deeply: use at most ${max} levels`);
}

function tooMany(name: string): Error {
  return new RequestMalformedError(
    `${name} brings the request to more than ${maxValues} JSON values: send large data as a file`,
  );
}
