/**
 * Results of models and tools as JSON, and back. Bytes, dates and URLs, which JSON has not, become objects with one field:
 * `{"$bytes": base64}`, `{"$date": ISO 8601}`, `{"$url": …}`. An object that has such a field itself is wrapped in `$object`.
 */
import type { Json, JsonObject } from '#shared/domain/message.ts';

const fields = ['$bytes', '$date', '$url', '$object'] as const;

/** Fields that are undefined, and functions, are left out. @throws {TypeError} if the value contains itself */
export function encode(value: unknown): Json {
  return encodeValue(value, []) ?? null;
}

function encodeValue(value: unknown, parents: readonly object[]): Json | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object') return undefined;
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') };
  if (value instanceof ArrayBuffer) return { $bytes: Buffer.from(value).toString('base64') };
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : { $date: value.toISOString() };
  if (value instanceof URL) return { $url: value.href };
  if (parents.includes(value)) throw new TypeError('the value contains itself');
  const within = [...parents, value];
  if (Array.isArray(value)) return value.map((item) => encodeValue(item, within) ?? null);
  if ('toJSON' in value && typeof value.toJSON === 'function') return encodeValue(value.toJSON(), within);
  const object: JsonObject = {};
  for (const [name, item] of Object.entries(value)) {
    const encoded = encodeValue(item, within);
    if (encoded !== undefined) object[name] = encoded;
  }
  return fields.some((field) => Object.hasOwn(object, field)) ? { $object: object } : object;
}

/** Returns what `encode` was given. */
export function decode(json: Json): unknown {
  if (typeof json !== 'object' || json === null) return json;
  if (Array.isArray(json)) return json.map(decode);
  const { $bytes, $date, $url, $object } = json;
  if (typeof $bytes === 'string') return new Uint8Array(Buffer.from($bytes, 'base64'));
  if (typeof $date === 'string') return new Date($date);
  if (typeof $url === 'string') return new URL($url);
  const object = typeof $object === 'object' && $object !== null && !Array.isArray($object) ? $object : json;
  return Object.fromEntries(Object.entries(object).map(([name, item]) => [name, decode(item)]));
}
