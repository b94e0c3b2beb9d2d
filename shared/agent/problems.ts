/**
 * What a schema found wrong, in the words of someone who writes YAML: the field's full name, and what it may have; for an
 * unknown field, the known one that was likely meant.
 */
import type { BaseIssue } from 'valibot';

export interface Problem {
  path: (string | number)[];
  /** The name of the field is meant, not its value. */
  key?: boolean;
  message: string;
}

export function toProblem(issue: BaseIssue<unknown>): Problem {
  const items = issue.path ?? [];
  const path = items.map(({ key }) => (typeof key === 'number' ? key : String(key)));
  return { path, key: items.at(-1)?.origin === 'key', message: `${nameOf(path)}: ${issue.message}` };
}

function nameOf(path: readonly (string | number)[]): string {
  if (path.length === 0) return 'the definition';
  return path
    .map((key, index) => (typeof key === 'number' ? `[${key}]` : index === 0 ? key : `.${key}`))
    .join('');
}

export function unknownField(field: string, known: readonly string[]): string {
  const near = known
    .map((candidate) => ({ candidate, distance: editDistance(field.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0];
  const hint =
    near !== undefined && near.distance <= Math.max(1, Math.floor(field.length / 3))
      ? `did you mean "${near.candidate}"?`
      : `known fields: ${known.join(', ')}`;
  return `unknown field; ${hint}`;
}

/** Levenshtein's, with two neighbours swapped as one edit (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      const at = (cells: readonly number[], index: number) => cells[index] ?? Infinity;
      let best = Math.min(at(row, j) + 1, at(next, j - 1) + 1, at(row, j - 1) + cost);
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, at(before, j - 2) + 1);
      next.push(best);
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
