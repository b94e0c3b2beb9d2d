/**
 * Describes the issues of a schema for authors of YAML: the full name of the field and the accepted values.
 * For an unknown field, suggests the known one with the closest name.
 */
import type { BaseIssue } from 'valibot';

export interface Problem {
  path: (string | number)[];
  /** The problem is in the name of the field, not in its value. */
  key?: boolean;
  message: string;
}

export function toProblem(issue: BaseIssue<unknown>): Problem {
  const items = issue.path ?? [];
  const path = items.map(({ key }) => (typeof key === 'number' ? key : String(key)));
  return { path, key: items.at(-1)?.origin === 'key', message: `${formatPath(path)}: ${issue.message}` };
}

function formatPath(path: readonly (string | number)[]): string {
  if (path.length === 0) return 'the definition';
  return path
    .map((key, index) => (typeof key === 'number' ? `[${key}]` : index === 0 ? key : `.${key}`))
    .join('');
}

export function describeUnknownField(field: string, known: readonly string[]): string {
  const closest = known
    .map((candidate) => ({ candidate, distance: editDistance(field.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0];
  const hint =
    closest !== undefined && closest.distance <= Math.max(1, Math.floor(field.length / 3))
      ? `did you mean "${closest.candidate}"?`
      : `expected one of ${known.join(', ')}`;
  return `unknown field (${hint})`;
}

/** Optimal string alignment: the Levenshtein distance, with a swap of two adjacent characters as one edit. */
function editDistance(a: string, b: string): number {
  let previous: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      const at = (cells: readonly number[], index: number) => cells[index] ?? Infinity;
      let best = Math.min(at(row, j) + 1, at(next, j - 1) + 1, at(row, j - 1) + cost);
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, at(previous, j - 2) + 1);
      next.push(best);
    }
    previous = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
