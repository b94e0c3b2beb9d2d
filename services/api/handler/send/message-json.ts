/**
 * The JSON of a message as it is stored, and the hash that distinguishes a repeat from another message under the same
 * id. Both use one serialisation of the parts, which may be large.
 */
import { createHash, hash } from 'node:crypto';
import { SendMessageConfiguration, type SendMessageRequest } from '@a2a-js/sdk';
import type { Message, Part } from '#shared/domain/message.ts';
import { measure } from '#shared/domain/sizes.ts';
import { ByteWriter, toJsonPieces, type JsonText } from '#shared/runtime/json-bytes.ts';
import { checkMessageSize } from '../validate/message.ts';

/** The parts of a message as JSON, and their size as UTF-8. */
export interface PartsJson {
  json: string;
  bytes: number;
}

/** The start of the JSON of a large message: its parts, to which the other members are added. */
export interface LargePartsJson {
  writer: ByteWriter;
  /** Where the parts end. */
  end: number;
}

/** Resolves when the event loop is free for the next piece of work. */
type Pause = () => Promise<void>;

/**
 * Bytes that one piece of work handles: writing them takes 6 ms for a text, and hashing them 4 ms. The number of values, which is limited, may
 * make it 40 ms.
 */
const pieceLength = 1024 * 1024;

const largeHead = '{"parts":';

export function writeParts(parts: readonly Part[]): PartsJson {
  const json = JSON.stringify(parts);
  return { json, bytes: Buffer.byteLength(json) };
}

/** Does the same in pieces. A text may have megabytes, which take 6 ms each. */
export async function writeLargeParts(parts: readonly Part[], pause: Pause): Promise<LargePartsJson> {
  // Characters that are escaped need more, and so do the other members of the message.
  const writer = new ByteWriter(Math.ceil(1.05 * measure(parts)) + 4096);
  writer.add(largeHead);
  let next = pieceLength;
  for (const piece of toJsonPieces(parts)) {
    if (writer.length >= next) {
      await pause();
      next = writer.length + pieceLength;
    }
    writer.add(piece);
  }
  return { writer, end: writer.length };
}

/**
 * Hashes everything that makes two sends equal. Excludes fields that only change how a result is returned.
 *
 * @param partsJson the parts of the message
 */
export function hashRequest(message: Message, partsJson: string, request: SendMessageRequest): string {
  return hash('sha256', toHashedText(message, request) + partsJson, 'base64url');
}

/** Does the same in pieces. */
export async function hashLargeRequest(
  message: Message,
  { writer }: LargePartsJson,
  request: SendMessageRequest,
  pause: Pause,
): Promise<string> {
  const sha256 = createHash('sha256').update(toHashedText(message, request));
  const parts = writer.view(largeHead.length);
  for (let start = 0; start < parts.length; start += pieceLength) {
    await pause();
    sha256.update(parts.subarray(start, start + pieceLength));
  }
  return sha256.digest('base64url');
}

function toHashedText(message: Message, request: SendMessageRequest): string {
  // Without a configuration as with an empty one.
  const configuration = {
    ...(request.configuration &&
      (SendMessageConfiguration.toJSON(request.configuration) as Record<string, unknown>)),
    returnImmediately: undefined,
    historyLength: undefined,
  };
  return JSON.stringify([{ ...message, parts: undefined }, configuration, request.metadata]);
}

/**
 * Returns the JSON of a message, and its size as UTF-8. The bytes of a large message are overwritten by the next call with the same parts.
 *
 * @throws {RequestMalformedError} if the message is too large
 */
export function writeMessage(
  message: Message,
  parts: PartsJson | LargePartsJson,
  maxBytes: number,
): { json: JsonText; bytes: number } {
  const rest = JSON.stringify({ ...message, parts: undefined });
  if ('writer' in parts) {
    const { writer, end } = parts;
    checkMessageSize(end + Buffer.byteLength(rest), maxBytes);
    writer.truncate(end);
    writer.add(`,${rest.slice(1)}`);
    return { json: writer.view(), bytes: writer.length };
  }
  const bytes = Buffer.byteLength(rest) + largeHead.length + parts.bytes;
  checkMessageSize(bytes, maxBytes);
  return { json: `${rest.slice(0, -1)},"parts":${parts.json}}`, bytes };
}
