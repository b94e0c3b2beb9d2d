/** Finds the known name that a misspelt name probably means. */

/** Longer names are not compared. */
const maxLength = 40;

/**
 * Returns the most similar of the known names; undefined if none is similar. Two edits are allowed, or one in a
 * name of at most five letters. Case does not count.
 */
export function findSimilar(name: string, known: readonly string[]): string | undefined {
  if (name.length > maxLength || !/^[a-z]+$/i.test(name)) return undefined;
  const lower = name.toLowerCase();
  let best: string | undefined;
  let bestDistance = lower.length <= 5 ? 2 : 3;
  for (const candidate of known) {
    if (Math.abs(candidate.length - lower.length) >= bestDistance) continue;
    const distance = countEdits(lower, candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** The Levenshtein distance of two names. */
function countEdits(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [row, letter] of a.split('').entries()) {
    let last = row + 1;
    const current = [last];
    for (const [column, other] of b.split('').entries()) {
      const [diagonal = 0, above = 0] = previous.slice(column, column + 2);
      last = Math.min(diagonal + (letter === other ? 0 : 1), above + 1, last + 1);
      current.push(last);
    }
    previous = current;
  }
  return previous.at(-1) ?? 0;
}
