/**
 * Schemas of the fields of A2A 0.3, with error messages for its clients. The translation of the SDK trusts its input:
 * a value of another type fails somewhere in it, as an internal error, or passes unnoticed.
 */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import * as v from 'valibot';

/** Fields whose content belongs to the client and is kept unchanged, names and nulls included. */
const opaqueFields = new Set(['metadata', 'data']);

/**
 * Returns the value without fields that are null: they count as omitted, as in ProtoJSON.
 *
 * @param rename maps each name of a field
 */
export function withoutNulls(value: unknown, rename = (name: string) => name): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutNulls(item, rename));
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== null);
  return Object.fromEntries(
    fields.map(([name, field]) => [
      rename(name),
      opaqueFields.has(name) ? (field as unknown) : withoutNulls(field, rename),
    ]),
  );
}

/** @throws {RequestMalformedError} that names the first field that is not valid */
export function parseFields<const T extends v.GenericSchema>(schema: T, value: unknown): v.InferOutput<T> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = (issue.path ?? []).map(({ key }) =>
    typeof key === 'number' ? `[${key}]` : `.${String(key)}`,
  );
  const name = path.length === 0 ? 'the request' : path.join('').slice(1);
  throw new RequestMalformedError(`${name} ${issue.message}`);
}

const AnyObject = v.custom<object>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'must be an object',
);

export const Text = v.string('must be a string');
export const Texts = v.array(Text, 'must be an array of strings');
export const Flag = v.boolean('must be true or false');
export const Count = v.number('must be a whole number');
/** Any JSON object. */
export const Struct = v.pipe(
  AnyObject,
  v.transform((value) => value as Record<string, unknown>),
);
export const NonEmptyText = v.pipe(Text, v.minLength(1, 'must not be empty'));

/** Unknown fields are dropped: later versions may add some. */
export function object<const T extends v.ObjectEntries>(fields: T) {
  return v.pipe(AnyObject, v.object(fields, 'is missing'));
}

/** A field that contradicts the others. */
export const excluded = (other: string) => v.optional(v.never(`must not be set next to ${other}`));

export const PushConfig = object({
  id: v.optional(Text),
  url: NonEmptyText,
  token: v.optional(Text),
  authentication: v.optional(
    object({
      // A request has one scheme (0.3, section 6.9: the server selects one).
      schemes: v.pipe(
        v.optional(Texts, []),
        v.transform((schemes) => schemes.slice(0, 1)),
      ),
      credentials: v.optional(Text),
    }),
  ),
});
