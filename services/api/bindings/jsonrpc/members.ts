/**
 * The members of the outermost object of a JSON text, found without parsing it: a large request is refused by its method at any
 * position, and parsing takes longer than anything else that such a request could cause.
 */
import { findMark, findStringEnd } from '#shared/runtime/json-text.ts';

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const openBracket = 0x5b;
const openBrace = 0x7b;

/** A character may be escaped (RFC 8259, section 7): `\u006d`. */
const maxEscapedChars = 6;

const notSpace = /[^ \t\n\r]/g;

/**
 * Returns the JSON of every value that the outermost object has under each of these names. `JSON.parse` uses the last one, other parsers may
 * use another. Text that is not JSON may have any result: it is left to the parser.
 */
export function findMembers<Name extends string>(
  text: string,
  ...names: readonly Name[]
): Record<Name, string[]> {
  const members = Object.fromEntries<string[]>(names.map((name) => [name, []])) as Record<Name, string[]>;
  let depth = 0;
  /** The name and the start of the value that is being passed, if it has one of the names. */
  let name: Name | undefined;
  let start = 0;
  for (let index = findMark(text, 0); index !== -1; index = findMark(text, index + 1)) {
    const char = text.charCodeAt(index);
    if (char === quote) {
      const end = findStringEnd(text, index);
      if (end === -1) break;
      if (depth === 1 && name === undefined) {
        const json = text.slice(index, end + 1);
        const known = names.find((one) => isString(json, one));
        start = known === undefined ? 0 : findValue(text, end + 1);
        if (start > 0) name = known;
      }
      index = end;
    } else if (char === openBrace || char === openBracket) {
      depth += 1;
    } else {
      if (depth === 1 && name !== undefined) {
        members[name].push(text.slice(start, index));
        name = undefined;
      }
      if (char !== comma) depth -= 1;
      if (depth < 0) break;
    }
  }
  return members;
}

/** Whether the JSON of a string is that of this text, with or without escapes. */
function isString(json: string, text: string): boolean {
  if (json.length === text.length + 2) return json.slice(1, -1) === text;
  return (
    json.length <= maxEscapedChars * text.length + 2 && json.includes('\\') && parseScalar(json) === text
  );
}

/** Returns the index after the colon that follows a name; 0: none follows, so that the string was a value. */
function findValue(text: string, after: number): number {
  notSpace.lastIndex = after;
  if (!notSpace.test(text)) return 0;
  const { lastIndex } = notSpace;
  return text.charCodeAt(lastIndex - 1) === colon ? lastIndex : 0;
}

/** Returns the value of short JSON; undefined: it is not JSON. */
export function parseScalar(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
