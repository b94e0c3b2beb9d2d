/** Finds the ends of strings in JSON text, for code that looks at its structure without parsing it. */

const quote = 0x22;
const backslash = 0x5c;

/** After an escaped quote, so many characters are read one by one: another one may follow closely. */
const denseChars = 8;

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
