/**
 * The JSON of a message as it is stored, and the hash that distinguishes a repeat from another message under the same
 * id. Both use one serialisation of the parts, which may be large.
 */
import { createHash, hash } from 'node:crypto';
import { SendMessageConfiguration, type SendMessageRequest } from '@a2a-js/sdk';
import type { Message, Part } from '#shared/domain/message.ts';
import { checkMessageSize } from '../validate/message.ts';

/** The parts of a message as JSON, and their size as UTF-8. */
export interface PartsJson {
  json: string;
  bytes: number;
}

/** Resolves when the event loop is free for the next piece of work. */
type Pause = () => Promise<void>;

/** Characters that one piece handles: writing them takes 6 ms, and hashing them 4 ms. */
const pieceChars = 1024 * 1024;

export function writeParts(parts: readonly Part[]): PartsJson {
  const json = JSON.stringify(parts);
  return { json, bytes: Buffer.byteLength(json) };
}

/** Does the same in pieces. A text may have megabytes, which take 6 ms each. */
export async function writeLargeParts(parts: readonly Part[], pause: Pause): Promise<PartsJson> {
  const texts: string[] = [];
  let bytes = 0;
  let chars = 0;
  const add = async (write: () => string): Promise<void> => {
    if (chars >= pieceChars) {
      await pause();
      chars = 0;
    }
    const text = write();
    texts.push(text);
    bytes += Buffer.byteLength(text);
    chars += text.length;
  };
  for (const [index, part] of parts.entries()) {
    if (index > 0) await add(() => ',');
    const name = part.raw === undefined ? 'text' : 'raw';
    const { [name]: text, ...rest } = part;
    if (text === undefined || text.length < pieceChars) {
      await add(() => JSON.stringify(part));
      continue;
    }
    await add(() => `{"${name}":"`);
    for (const piece of splitText(text)) await add(() => JSON.stringify(piece).slice(1, -1));
    const others = JSON.stringify(rest).slice(1);
    await add(() => (others === '}' ? '"}' : `",${others}`));
  }
  return { json: `[${texts.join('')}]`, bytes: bytes + 2 };
}

/** Splits text into pieces that do not end between the halves of a surrogate pair. */
function* splitText(text: string): Generator<string, void, undefined> {
  for (let start = 0; start < text.length;) {
    const last = text.charCodeAt(start + pieceChars - 1);
    const end = start + pieceChars + (last >= 0xd800 && last < 0xdc00 ? 1 : 0);
    yield text.slice(start, end);
    start = end;
  }
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
  partsJson: string,
  request: SendMessageRequest,
  pause: Pause,
): Promise<string> {
  const sha256 = createHash('sha256').update(toHashedText(message, request));
  for (const piece of splitText(partsJson)) {
    await pause();
    sha256.update(piece);
  }
  return sha256.digest('base64url');
}

function toHashedText(message: Message, request: SendMessageRequest): string {
  const configuration = request.configuration && {
    ...(SendMessageConfiguration.toJSON(request.configuration) as Record<string, unknown>),
    returnImmediately: undefined,
    historyLength: undefined,
  };
  return JSON.stringify([{ ...message, parts: undefined }, configuration, request.metadata]);
}

/**
 * Returns the JSON of a message, and its size as UTF-8.
 *
 * @throws {RequestMalformedError} if the message is too large
 */
export function writeMessage(message: Message, parts: PartsJson, maxBytes: number): PartsJson {
  const rest = `${JSON.stringify({ ...message, parts: undefined }).slice(0, -1)},"parts":`;
  const bytes = Buffer.byteLength(rest) + parts.bytes + 1;
  checkMessageSize(bytes, maxBytes);
  return { json: `${rest}${parts.json}}`, bytes };
}
