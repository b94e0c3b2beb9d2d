/**
 * What a schema found wrong, in the words of someone who writes YAML: the field's full name, what it has and what it
 * may have; for an unknown field, the known one that was likely meant.
 */
import type { TSchema } from 'typebox';
import type { TLocalizedValidationError } from 'typebox/error';
import { Settings } from 'typebox/system';
import { Errors, Pointer } from 'typebox/value';

export interface Problem {
  path: (string | number)[];
  /** The name of the field is meant, not its value. */
  key?: boolean;
  message: string;
}

export function problemsOf(schema: TSchema, value: unknown): Problem[] {
  // The library stops at eight by itself.
  Settings.Set({ maxErrors: 1000 });
  return Errors(schema, value).flatMap((error): Problem[] => {
    const path = pathOf(error.instancePath);
    if (error.keyword === 'additionalProperties') {
      const known = knownFields(schema, error.schemaPath);
      return error.params.additionalProperties.map((field) => ({
        path: [...path, field],
        key: true,
        message: unknown(nameOf([...path, field]), field, known),
      }));
    }
    // Each unknown field is reported once more for itself.
    if (error.keyword === 'boolean') return [];
    if (error.keyword === 'required') {
      return error.params.requiredProperties.map((field) => ({
        path,
        message: `${nameOf([...path, field])}: missing`,
      }));
    }
    return [{ path, message: `${nameOf(path)}: ${wanted(error, Pointer.Get(value, error.instancePath))}` }];
  });
}

function wanted(error: TLocalizedValidationError, value: unknown): string {
  if (error.keyword === 'type') {
    const type = [error.params.type].flat().join(' or ');
    const quote = type === 'string' && typeof value !== 'object' ? ' (put it in quotes)' : '';
    return `must be ${/^[aeiou]/.test(type) ? 'an' : 'a'} ${type}${quote}`;
  }
  if (error.keyword === 'enum') return `must be one of ${error.params.allowedValues.join(', ')}`;
  if (error.keyword === 'pattern') return patternHint(error.params.pattern.toString());
  if (error.keyword === 'minLength') return 'must not be empty';
  if (error.keyword === 'minItems') return `must have at least ${error.params.limit} item(s)`;
  return error.message;
}

function pathOf(pointer: string): (string | number)[] {
  return [...Pointer.Indices(pointer)].map((key) => (/^\d+$/.test(key) ? Number(key) : key));
}

function nameOf(path: readonly (string | number)[]): string {
  if (path.length === 0) return 'the definition';
  return path
    .map((key, index) => (typeof key === 'number' ? `[${key}]` : index === 0 ? key : `.${key}`))
    .join('');
}

function patternHint(pattern: string): string {
  if (pattern.includes('https?')) return 'must be a URL with http or https';
  if (pattern.includes('/')) return 'must be a media type, such as text/plain';
  return 'may have only letters, digits, ".", "_" and "-"';
}

function knownFields(schema: TSchema, schemaPath: string): string[] {
  const node: unknown = Pointer.Get(schema, schemaPath.replace(/^#/, ''));
  const properties = (node as { properties?: object } | undefined)?.properties;
  return Object.keys(properties ?? {});
}

function unknown(name: string, field: string, known: readonly string[]): string {
  const near = known
    .map((candidate) => ({ candidate, distance: editDistance(field.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0];
  const hint =
    near !== undefined && near.distance <= Math.max(1, Math.floor(field.length / 3))
      ? `did you mean "${near.candidate}"?`
      : `known fields: ${known.join(', ')}`;
  return `${name}: unknown field; ${hint}`;
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
