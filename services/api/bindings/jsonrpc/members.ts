/**
 * The members of the outermost object of a JSON text, found without parsing it: a large request is refused by its method at any
 * position, and parsing takes longer than anything else that such a request could cause.
 */
import { findStringEnd } from '#shared/runtime/json-text.ts';

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/** A character may be escaped (RFC 8259, section 7): `\u006d`. */
const maxEscapedChars = 6;

/**
 * Returns the JSON of every value that the outermost object has under this name. `JSON.parse` uses the last one, other parsers may use
 * another. Text that is not JSON may have any result: it is left to the parser.
 */
export function findMembers(text: string, name: string): string[] {
  const values: string[] = [];
  let depth = 0;
  /** The start of a value under this name, while it is being passed; otherwise 0. */
  let start = 0;
  for (let index = 0; index < text.length; index++) {
    const char = text.charCodeAt(index);
    if (char === quote) {
      const end = findStringEnd(text, index);
      if (end === -1) break;
      if (depth === 1 && start === 0 && isString(text.slice(index, end + 1), name))
        start = findValue(text, end + 1);
      index = end;
    } else if (char === openBrace || char === openBracket) {
      depth += 1;
    } else if (char === comma || char === closeBrace || char === closeBracket) {
      if (depth === 1 && start > 0) {
        values.push(text.slice(start, index));
        start = 0;
      }
      if (char !== comma) depth -= 1;
    }
  }
  return values;
}

/** Whether the JSON of a string is that of this text, with or without escapes. */
function isString(json: string, text: string): boolean {
  if (json.length === text.length + 2) return json.slice(1, -1) === text;
  return json.length <= maxEscapedChars * text.length + 2 && parseScalar(json) === text;
}

/** Returns the index after the colon that follows a name; 0: none follows, so that the string was a value. */
function findValue(text: string, after: number): number {
  let index = after;
  while (' \t\n\r'.includes(text.charAt(index)) && index < text.length) index += 1;
  return text.charCodeAt(index) === colon ? index + 1 : 0;
}

/** Returns the value of short JSON; undefined: it is not JSON. */
export function parseScalar(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
