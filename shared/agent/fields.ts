/** The forms of fields, with what is said of a value that has not that form, in words for someone who writes YAML. */
import * as v from 'valibot';
import { unknownField } from './problems.ts';

const aString = ({ input }: v.BaseIssue<unknown>): string =>
  `must be a string${typeof input === 'object' ? '' : ' (put it in quotes)'}`;
const aMapping = v.custom<object>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'must be an object',
);

export const AnyText = v.string(aString);
export const Text = v.pipe(AnyText, v.minLength(1, 'must not be empty'));
export const Url = v.pipe(AnyText, v.regex(/^https?:\/\/\S+$/, 'must be a URL with http or https'));
export const MediaType = v.pipe(
  AnyText,
  v.regex(/^[\w.+*-]+\/[\w.+*-]+$/, 'must be a media type, such as text/plain'),
);
export const Flag = v.boolean('must be a boolean');

/** A finite number: another would not outlive its way through JSON. */
export const Amount = v.pipe(v.number('must be a number'), v.finite('must be a number'));
export const Whole = v.pipe(v.number('must be an integer'), v.integer('must be an integer'));

export const atLeast = (least: number) => v.minValue<number, number, string>(least, `must be >= ${least}`);
export const atMost = (most: number) => v.maxValue<number, number, string>(most, `must be <= ${most}`);
export const above = (bound: number) => v.gtValue<number, number, string>(bound, `must be > ${bound}`);
export const Count = v.pipe(Whole, atLeast(1));

export function oneOf<const T extends readonly string[]>(values: T) {
  return v.picklist(values, `must be one of ${values.join(', ')}`);
}

export function listOf<const T extends v.GenericSchema>(item: T) {
  return v.array(item, 'must be an array');
}

export function listOfSome<const T extends v.GenericSchema>(item: T) {
  return v.pipe(listOf(item), v.minLength(1, 'must have at least 1 item(s)'));
}

/** Values by names that are free. By itself the library takes a list as well. */
export function byName<const T extends v.GenericSchema>(value: T) {
  return v.pipe(aMapping, v.record(v.string(), value));
}

/** Fields that it does not name are refused, so that no one believes to have set what has no effect. */
export function closed<const T extends v.ObjectEntries>(fields: T) {
  const message = ({ expected, input }: v.StrictObjectIssue): string =>
    expected === 'never' ? unknownField(String(input), Object.keys(fields)) : 'missing';
  return v.pipe(aMapping, v.strictObject(fields, message));
}
