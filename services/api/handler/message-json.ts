/**
 * The JSON of a message as it is stored, and the hash that distinguishes a repeat from another message under the same
 * id. Both use one serialisation of the parts, which may be large.
 */
import { createHash, hash } from 'node:crypto';
import { SendMessageConfiguration, type SendMessageRequest } from '@a2a-js/sdk';
import type { Message, Part } from '#shared/domain/message.ts';
import { minLargeBytes } from '../limits/large-work.ts';
import { checkMessageSize } from './validate/message.ts';

/**
 * Serialises parts one by one. A part may have megabytes, which take 10 ms.
 *
 * @param pause called after each large piece
 */
export async function serializeParts(parts: readonly Part[], pause: () => Promise<void>): Promise<string> {
  const texts: string[] = [];
  let length = 0;
  for (const part of parts) {
    if (length >= minLargeBytes) {
      await pause();
      length = 0;
    }
    const text = JSON.stringify(part);
    texts.push(text);
    length += text.length;
  }
  return `[${texts.join(',')}]`;
}

/**
 * Hashes everything that makes two sends equal. Excludes fields that only change how a result is returned.
 *
 * @param partsJson the parts of the message
 */
export function hashRequest(message: Message, partsJson: string, request: SendMessageRequest): string {
  const configuration = request.configuration && {
    ...(SendMessageConfiguration.toJSON(request.configuration) as Record<string, unknown>),
    returnImmediately: undefined,
    historyLength: undefined,
  };
  const content = JSON.stringify([{ ...message, parts: undefined }, configuration, request.metadata]);
  // Joining large texts would copy them, which takes longer than hashing them.
  return partsJson.length < minLargeBytes
    ? hash('sha256', content + partsJson, 'base64url')
    : createHash('sha256').update(content).update(partsJson).digest('base64url');
}

/**
 * @param partsJson the parts of the message
 * @throws {RequestMalformedError} if the message is too large
 */
export function serializeMessage(message: Message, partsJson: string, maxBytes: number): string {
  const rest = JSON.stringify({ ...message, parts: undefined });
  const json = `${rest.slice(0, -1)},"parts":${partsJson}}`;
  checkMessageSize(json, maxBytes);
  return json;
}
