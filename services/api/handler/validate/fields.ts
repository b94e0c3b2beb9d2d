/**
 * Checks the fields of a JSON request against the messages of a2a.proto. The codecs of the SDK convert a value of
 * the wrong type to another value, take the first of several contents of a part, and drop what they do not know.
 */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import { findSimilar } from './similar.ts';

/** The type of a field in ProtoJSON. `value` is any JSON, null included. */
export type FieldType = ScalarType | { list: FieldType } | MessageType;

type ScalarType = 'string' | 'bytes' | 'boolean' | 'integer' | 'enum' | 'object' | 'value';

export interface MessageType {
  fields: Readonly<Record<string, FieldType>>;
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
  checker.checkMessage('', type, json);
  return checker.warnings;
}

class FieldChecker {
  readonly warnings: string[] = [];
  #compared = 0;

  checkMessage(path: string, type: MessageType, json: unknown): void {
    const message = requireObject(path, json);
    for (const name in message) {
      const value = message[name];
      const field = getOwn(type.fields, name) ?? getOwn(type.fields, toCamelCase(name));
      if (field !== undefined) this.#check(join(path, name), field, value);
      else if (value !== null && value !== undefined) this.#warn(path, type, name);
    }
    if (type.oneOf !== undefined) checkOneOf(path, type.oneOf, message);
  }

  #check(path: string, type: FieldType, value: unknown): void {
    if (value === null || value === undefined) return;
    if (typeof type === 'string') checkScalar(path, type, value);
    else if ('fields' in type) this.checkMessage(path, type, value);
    else this.#checkList(path, type.list, value);
  }

  #checkList(path: string, type: FieldType, value: unknown): void {
    if (!Array.isArray(value)) throw wrongType(path, 'an array');
    for (let index = 0; index < value.length; index++) {
      const item: unknown = value[index];
      if (item === null) throw wrongType(`${path}[${index}]`, 'a value, not null');
      this.#check(`${path}[${index}]`, type, item);
    }
  }

  #warn(path: string, { fields, formerNames }: MessageType, name: string): void {
    this.#compared += 1;
    if (this.#compared > maxCompared) return;
    const camel = toCamelCase(name);
    const meant = getOwn(formerNames ?? {}, camel) ?? findSimilar(camel, Object.keys(fields));
    if (meant !== undefined) this.warnings.push(toWarning(join(path, name), meant));
  }
}

/** The text is sent in a header: similar names have letters only. */
export function toWarning(name: string, meant: string): string {
  return `${name} is unknown and was ignored: did you mean ${meant}?`;
}

function checkOneOf(
  path: string,
  names: readonly string[],
  message: Readonly<Record<string, unknown>>,
): void {
  const set = names.filter((name) => message[name] !== undefined && message[name] !== null);
  if (set.length > 1) {
    throw new RequestMalformedError(`${path} has ${set.join(' and ')}: send only one of ${names.join(', ')}`);
  }
}

function checkScalar(path: string, kind: ScalarType, value: unknown): void {
  switch (kind) {
    case 'string':
      if (typeof value !== 'string') throw wrongType(path, 'a string');
      break;
    case 'bytes':
      if (typeof value !== 'string' || !isBase64(value)) throw wrongType(path, 'a string in base64');
      break;
    case 'boolean':
      if (typeof value !== 'boolean') throw wrongType(path, 'true or false');
      break;
    case 'integer':
      // ProtoJSON allows numbers as strings.
      if (typeof value !== 'number' && !(typeof value === 'string' && /^-?\d{1,10}$/.test(value))) {
        throw wrongType(path, 'a whole number');
      }
      break;
    case 'enum':
      if (typeof value !== 'string' && typeof value !== 'number') throw wrongType(path, 'a string');
      break;
    case 'object':
      requireObject(path, value);
      break;
    case 'value':
      break;
    default:
      kind satisfies never;
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

function requireObject(path: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw wrongType(path === '' ? 'the request' : path, 'an object');
}

function wrongType(path: string, expected: string): Error {
  return new RequestMalformedError(`${path} must be ${expected}`);
}

/** ProtoJSON accepts the names of a2a.proto too. */
function toCamelCase(name: string): string {
  return name.includes('_')
    ? name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
    : name;
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}
