/**
 * Arrays as PostgreSQL reads them, for statements that take sets. pg quotes each element by itself, with two regular
 * expressions; JSON escapes a whole array at once, and by the same rules as PostgreSQL, but for what `special` finds.
 */

/** Control characters, and the halves of surrogate pairs: JSON may write these as `\n` or `\uXXXX`. */
// oxlint-disable-next-line no-control-regex -- control characters are exactly what is looked for
const special = /[\u0000-\u001f\ud800-\udfff]/;

/** An array of strings, booleans and nulls as one text; anything else as it is, for pg to write. */
export function arrayParameter(value: unknown): unknown {
  return Array.isArray(value) && value.every(isPlain) ? `{${JSON.stringify(value).slice(1, -1)}}` : value;
}

function isPlain(element: unknown): boolean {
  if (typeof element === 'string') return !special.test(element);
  return element === null || typeof element === 'boolean';
}
