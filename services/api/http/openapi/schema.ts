/**
 * Schemas of the OpenAPI document, in JSON Schema 2020-12. A schema has the type of the values that it describes, so that
 * the compiler compares schemas of answers with the types of the code that makes the answers.
 */
declare const describedType: unique symbol;
const definition = Symbol('definition');

export interface Schema<T = unknown> {
  readonly [keyword: string]: unknown;
  readonly [describedType]?: T;
  /** The component that a reference refers to. */
  readonly [definition]?: Schema;
}

export interface ObjectSchema<T = unknown> extends Schema<T> {
  readonly type: 'object';
  readonly properties: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

/** A field that may be absent. */
export interface Optional<T = unknown> {
  readonly optional: Schema<T>;
}

/** The fields of an object; any, if its type is unknown. */
type Fields<T> = unknown extends T
  ? Readonly<Record<string, Schema | Optional>>
  : {
      readonly [Name in keyof T]-?: object extends Pick<T, Name>
        ? Optional<Exclude<T[Name], undefined>>
        : Schema<T[Name]>;
    };

export const text: Schema<string> = { type: 'string' };
export const number: Schema<number> = { type: 'number' };
export const integer: Schema<number> = { type: 'integer' };
export const count: Schema<number> = { type: 'integer', minimum: 0 };
export const flag: Schema<boolean> = { type: 'boolean' };
/** ISO 8601. A `Date` is one in JSON. */
export const time: Schema<string & Date> = { type: 'string', format: 'date-time' };
/** A day in UTC. */
export const day: Schema<string> = { type: 'string', format: 'date' };
/** An id in a request: `checkId`. */
export const id: Schema<string> = { type: 'string', minLength: 1, maxLength: 256 };
/** Any JSON, and any JSON object. */
export const anyValue: Schema<never> = {};
export const anyObject: Schema<never> = { type: 'object', additionalProperties: true };

export function oneOf<const T extends string>(values: readonly T[]): Schema<T> {
  return { type: 'string', enum: [...values] };
}

/** Any of the values of a type; the compiler finds those that are missing. */
export function valueOf<T extends string>(values: Readonly<Record<T, true>>): Schema<T> {
  return oneOf(Object.keys(values) as T[]);
}

export function orNull<T>(schema: Schema<T>): Schema<T | null> {
  return { ...schema, type: [schema['type'], 'null'] };
}

export function list<T>(items: Schema<T>, more: { minItems?: number; maxItems?: number } = {}): Schema<T[]> {
  return { type: 'array', items, ...more };
}

export function optional<T>(schema: Schema<T>): Optional<T> {
  return { optional: schema };
}

/** @param fields if the type of the object is named, the compiler checks that they are its fields */
export function object<T = unknown>(fields: Fields<NoInfer<T>>): ObjectSchema<NoInfer<T>> {
  const entries = Object.entries(fields as Readonly<Record<string, Schema | Optional>>);
  const required = entries.flatMap(([name, field]) => (isOptional(field) ? [] : [name]));
  return {
    type: 'object',
    properties: Object.fromEntries(
      entries.map(([name, field]) => [name, isOptional(field) ? field.optional : field]),
    ),
    ...(required.length > 0 && { required }),
  };
}

function isOptional(field: Schema | Optional): field is Optional {
  return 'optional' in field;
}

/** An object with the same value for each of these names, or for any name. */
export function record<Name extends string, T>(
  names: readonly Name[] | undefined,
  value: Schema<T>,
): Schema<Record<Name, T>> {
  if (names === undefined) return { type: 'object', additionalProperties: value };
  return {
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, value])),
    required: [...names],
  };
}

/** One of several objects. Clients see which by its fields. */
export function either<T>(...schemas: readonly Schema<T>[]): Schema<T> {
  return { oneOf: schemas };
}

/** Adds a description, or another keyword. */
export function describe<S extends Schema>(schema: S, description: string, more: Schema = {}): S {
  return { ...schema, description, ...more };
}

/** Makes a schema a component of the document, which others refer to. */
export function named<T>(name: string, schema: Schema<T>): Schema<T> {
  return component('schemas', name, schema);
}

/** The sections of components that are used. */
type Section = 'schemas' | 'responses' | 'parameters';

export function component(section: Section, name: string, content: Schema): Schema<never> {
  return { $ref: `#/components/${section}/${name}`, [definition]: content };
}

export type Components = Readonly<Record<string, Readonly<Record<string, Schema>>>>;

/**
 * Returns the components that a document refers to, by section and name, in order of their names.
 *
 * @throws {Error} if two components have the same name
 */
export function collectComponents(document: unknown): Components {
  const found = new Map<string, Schema>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const { $ref, [definition]: content } = value as Schema;
    if (content !== undefined) {
      const place = String($ref);
      const known = found.get(place);
      if (known !== undefined && known !== content) throw new Error(`two components have the place ${place}`);
      if (known === undefined) {
        found.set(place, content);
        visit(content);
      }
    }
    for (const each of Object.values(value)) visit(each);
  };
  visit(document);
  const sections: Record<string, Record<string, Schema>> = {};
  for (const [place, content] of [...found].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [section = '', name = ''] = place.split('/').slice(-2);
    (sections[section] ??= {})[name] = content;
  }
  return sections;
}
