/** The schemas of fields, with error messages for authors of YAML. */
import * as v from 'valibot';
import { describeUnknownField } from './problems.ts';

const notString = ({ input }: v.BaseIssue<unknown>): string =>
  `must be a string${typeof input === 'object' ? '' : ' (put it in quotes)'}`;
const AnyMapping = v.custom<object>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'must be an object',
);

export const AnyText = v.string(notString);
export const Text = v.pipe(AnyText, v.minLength(1, 'must not be empty'));
export const Url = v.pipe(AnyText, v.regex(/^https?:\/\/\S+$/, 'must be an http or https URL'));
export const MediaType = v.pipe(
  AnyText,
  v.regex(/^[\w.+*-]+\/[\w.+*-]+$/, 'must be a media type, such as text/plain'),
);
export const Flag = v.boolean('must be a boolean');

/** JSON cannot represent infinite numbers, so they are refused. */
export const FiniteNumber = v.pipe(v.number('must be a number'), v.finite('must be a number'));
export const Integer = v.pipe(v.number('must be an integer'), v.integer('must be an integer'));

export const atLeast = (bound: number) => v.minValue<number, number, string>(bound, `must be >= ${bound}`);
export const atMost = (bound: number) => v.maxValue<number, number, string>(bound, `must be <= ${bound}`);
export const above = (bound: number) => v.gtValue<number, number, string>(bound, `must be > ${bound}`);
export const Count = v.pipe(Integer, atLeast(1));

export function choice<const T extends readonly string[]>(values: T) {
  return v.picklist(values, `must be one of ${values.join(', ')}`);
}

export function list<const T extends v.GenericSchema>(item: T) {
  return v.array(item, 'must be an array');
}

export function nonEmptyList<const T extends v.GenericSchema>(item: T) {
  return v.pipe(list(item), v.minLength(1, 'must have at least one item'));
}

/** An object with any field names. Valibot's `record` alone would accept an array too. */
export function mapping<const T extends v.GenericSchema>(value: T) {
  return v.pipe(AnyMapping, v.record(v.string(), value));
}

/** An object with the given fields. Unknown fields are refused, because they would have no effect. */
export function strictMapping<const T extends v.ObjectEntries>(fields: T) {
  const message = ({ expected, input }: v.StrictObjectIssue): string =>
    expected === 'never' ? describeUnknownField(String(input), Object.keys(fields)) : 'is required';
  return v.pipe(AnyMapping, v.strictObject(fields, message));
}
