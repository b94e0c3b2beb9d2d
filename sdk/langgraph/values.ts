/**
 * The values of channels as the record of a turn has them: JSON as it is, other content as base64. A list that has grown, such
 * as the messages of a conversation, is recorded as what was added to it.
 */
import { isDeepStrictEqual } from 'node:util';
import type { SerializerProtocol } from '@langchain/langgraph-checkpoint';
import type { Json } from '#shared/domain/message.ts';

export type Stored = { json: Json } | { type: string; base64: string };

/** `keep`: as many items of the value that the channel had in the version `from` come first. */
export type Recorded = Stored | { from: number | string; keep: number; add: Json[] };

export async function dump(serde: SerializerProtocol, value: unknown): Promise<Stored> {
  const [type, bytes] = await serde.dumpsTyped(value);
  const buffer = Buffer.from(bytes);
  return type === 'json'
    ? { json: JSON.parse(buffer.toString()) as Json }
    : { type, base64: buffer.toString('base64') };
}

export async function load(serde: SerializerProtocol, stored: Stored): Promise<unknown> {
  if ('json' in stored) return serde.loadsTyped('json', JSON.stringify(stored.json));
  return serde.loadsTyped(stored.type, Buffer.from(stored.base64, 'base64'));
}

/** @param previous another value that is in the same record, with its version */
export function shorten(
  value: Stored,
  previous: { version: number | string; value: Stored } | undefined,
): Recorded {
  if (previous === undefined || !('json' in value) || !('json' in previous.value)) return value;
  const [next, before] = [value.json, previous.value.json];
  if (!Array.isArray(next) || !Array.isArray(before)) return value;
  const changed = before.findIndex((item, index) => !isDeepStrictEqual(item, next[index]));
  const keep = changed === -1 ? before.length : changed;
  return keep === 0 ? value : { from: previous.version, keep, add: next.slice(keep) };
}

/** @param getPrevious returns the value of the channel in a version */
export function restore(
  recorded: Recorded,
  getPrevious: (version: number | string) => Stored | undefined,
): Stored {
  if (!('from' in recorded)) return recorded;
  const previous = getPrevious(recorded.from);
  const kept =
    previous !== undefined && 'json' in previous && Array.isArray(previous.json) ? previous.json : [];
  return { json: [...kept.slice(0, recorded.keep), ...recorded.add] };
}
