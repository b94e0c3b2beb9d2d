/**
 * Checks the fields of a JSON request against the messages of a2a.proto. The codecs of the SDK convert a value of
 * the wrong type to another value, take the first of several contents of a part, and drop what they do not know.
 */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import { findSimilar } from '#shared/domain/similar.ts';

/** The type of a field in ProtoJSON. `value` is any JSON, null included. */
export type FieldType = ScalarType | EnumType | { list: FieldType } | MessageType;

type ScalarType = 'string' | 'bytes' | 'boolean' | 'integer' | 'object' | 'value';

/** Only that it is a name or a number is checked here: the codec of the SDK knows the values. */
interface EnumType {
  values: readonly string[];
}

export interface MessageType {
  /** In the OpenAPI document. */
  name?: string;
  fields: Readonly<Record<string, FieldType>>;
  /** For the OpenAPI document: the handler checks which fields are missing. */
  required?: readonly string[];
  /** Fields of which a message has at most one. */
  oneOf?: readonly string[];
  /** Names of A2A 0.3 and what to send instead. */
  formerNames?: Readonly<Record<string, string>>;
}

/** More unknown fields than this are not compared with the known ones: it costs time. */
export const maxCompared = 20;

/**
 * Returns a warning for each unknown field that looks like a known one. Other unknown fields are ignored (A2A
 * section 5.7), and null is the same as no field.
 *
 * @throws {RequestMalformedError} if a field has the wrong type, or a part has several contents
 */
export function checkFields(type: MessageType, json: unknown): string[] {
  const checker = new FieldChecker();
  checker.checkMessage(type, json);
  return checker.warnings;
}

class FieldChecker {
  readonly warnings: string[] = [];
  #compared = 0;
  /** The names and indexes that lead to the checked value. They become text only if they are reported. */
  readonly #path: (string | number)[] = [];

  checkMessage(type: MessageType, json: unknown): void {
    if (!isObject(json)) throw this.#wrongType('an object');
    for (const name in json) {
      const value = json[name];
      const field = getOwn(type.fields, name) ?? getOwn(type.fields, toCamelCase(name));
      this.#path.push(name);
      if (field !== undefined) this.#check(field, value);
      else if (value !== null && value !== undefined) this.#warn(type, name);
      this.#path.pop();
    }
    if (type.oneOf !== undefined) this.#checkOneOf(type.oneOf, json);
  }

  #check(type: FieldType, value: unknown): void {
    if (value === null || value === undefined) return;
    if (typeof type === 'string') {
      const expected = findScalarProblem(type, value);
      if (expected !== undefined) throw this.#wrongType(expected);
    } else if ('fields' in type) this.checkMessage(type, value);
    else if ('list' in type) this.#checkList(type.list, value);
    else if (typeof value !== 'string' && typeof value !== 'number') throw this.#wrongType('a string');
  }

  #checkList(type: FieldType, value: unknown): void {
    if (!Array.isArray(value)) throw this.#wrongType('an array');
    for (let index = 0; index < value.length; index++) {
      const item: unknown = value[index];
      this.#path.push(index);
      if (item === null) throw this.#wrongType('a value, not null');
      this.#check(type, item);
      this.#path.pop();
    }
  }

  #checkOneOf(names: readonly string[], message: Readonly<Record<string, unknown>>): void {
    let set = 0;
    for (const name of names) if (message[name] !== undefined && message[name] !== null) set += 1;
    if (set <= 1) return;
    const sent = names.filter((name) => message[name] !== undefined && message[name] !== null);
    throw new RequestMalformedError(
      `${this.#pathText()} has ${sent.join(' and ')}: send only one of ${names.join(', ')}`,
    );
  }

  #warn({ fields, formerNames }: MessageType, name: string): void {
    this.#compared += 1;
    if (this.#compared > maxCompared) return;
    const camel = toCamelCase(name);
    const meant = getOwn(formerNames ?? {}, camel) ?? findSimilar(camel, Object.keys(fields));
    if (meant !== undefined) this.warnings.push(toWarning(this.#pathText(), meant));
  }

  #wrongType(expected: string): Error {
    return new RequestMalformedError(`${this.#pathText()} must be ${expected}`);
  }

  #pathText(): string {
    if (this.#path.length === 0) return 'the request';
    return this.#path.reduce<string>(
      (path, part) =>
        typeof part === 'number' ? `${path}[${part}]` : path === '' ? part : `${path}.${part}`,
      '',
    );
  }
}

/** The text is sent in a header: similar names have letters only. */
export function toWarning(name: string, meant: string): string {
  return `${name} is unknown and was ignored: did you mean ${meant}?`;
}

/** Returns what a value should be, or undefined if it is that. */
function findScalarProblem(kind: ScalarType, value: unknown): string | undefined {
  switch (kind) {
    case 'string':
      return typeof value === 'string' ? undefined : 'a string';
    case 'bytes':
      return typeof value === 'string' && isBase64(value) ? undefined : 'a string in base64';
    case 'boolean':
      return typeof value === 'boolean' ? undefined : 'true or false';
    case 'integer':
      // ProtoJSON allows numbers as strings.
      return typeof value === 'number' || (typeof value === 'string' && /^-?\d{1,10}$/.test(value))
        ? undefined
        : 'a whole number';
    case 'object':
      return isObject(value) ? undefined : 'an object';
    case 'value':
      return undefined;
    default:
      return kind satisfies never;
  }
}

/** Whether text is base64 in the standard or the URL alphabet, with or without padding and line breaks. */
function isBase64(text: string): boolean {
  if (/[^\w+/\-=\s]/.test(text)) return false;
  const encoded = /\s/.test(text) ? text.replaceAll(/\s/g, '') : text;
  const padding = encoded.indexOf('=');
  if (padding === -1) return encoded.length % 4 !== 1;
  return encoded.length % 4 === 0 && encoded.length - padding <= 2 && encoded.endsWith('=');
}

/** Without what objects inherit: clients choose the names. */
function getOwn<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** ProtoJSON accepts the names of a2a.proto too. */
function toCamelCase(name: string): string {
  return name.includes('_')
    ? name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
    : name;
}
