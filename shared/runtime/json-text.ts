/** Finds marks and the ends of strings in JSON text, for code that looks at its structure without parsing it. */

const quote = 0x22;
const comma = 0x2c;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
/** Turns a bracket into the brace of the same side. */
const braceBit = 0x20;

const marks = /["{}[\],]/g;

/** After a mark or an escaped quote, so many characters are read one by one: another one may follow closely. */
const denseChars = 8;

/**
 * Returns the index of the next quote, comma, bracket or brace, or -1. Regular expressions pass long numbers and white space much faster than
 * code that reads all characters, but cost more for marks that are close together.
 */
export function findMark(text: string, start: number): number {
  const stop = Math.min(start + denseChars, text.length);
  for (let index = start; index < stop; index++) {
    const char = text.charCodeAt(index);
    const brace = char | braceBit;
    if (char === quote || char === comma || brace === openBrace || brace === closeBrace) return index;
  }
  marks.lastIndex = stop;
  return marks.test(text) ? marks.lastIndex - 1 : -1;
}

/**
 * Returns the index of the quote that ends a string, or -1. Searching for quotes is much faster than reading all characters, except in a text
 * that is full of escaped quotes.
 *
 * @param start the index of the quote that starts it
 */
export function findStringEnd(text: string, start: number): number {
  let index = start + 1;
  for (;;) {
    const end = text.indexOf('"', index);
    if (end === -1) return -1;
    let first = end;
    while (text.charCodeAt(first - 1) === backslash) first -= 1;
    // An odd number of backslashes escapes the quote.
    if ((end - first) % 2 === 0) return end;
    const stop = end + denseChars;
    for (index = end + 1; index < stop && index < text.length; index++) {
      const char = text.charCodeAt(index);
      if (char === quote) return index;
      if (char === backslash) index += 1;
    }
  }
}
