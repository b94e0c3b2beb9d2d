/** What a message must be before anything is done with it. Every refusal names the field and what would be right. */
import { Role, type Message, type Part, type SendMessageRequest } from '@a2a-js/sdk';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import { checkDepth } from './json-depth.ts';

const maxIdLength = 256;
const maxParts = 1000;
const maxReferences = 100;

/** @throws {RequestMalformedError} */
export function checkMessage(request: SendMessageRequest): Message {
  const { message } = request;
  if (message === undefined) throw new RequestMalformedError('message is missing');
  checkId('message.messageId', message.messageId, true);
  checkId('message.contextId', message.contextId, false);
  checkId('message.taskId', message.taskId, false);
  if (message.referenceTaskIds.length > maxReferences) {
    throw new RequestMalformedError(
      `message.referenceTaskIds has ${message.referenceTaskIds.length} ids; at most ${maxReferences} are taken`,
    );
  }
  for (const id of message.referenceTaskIds) checkId('message.referenceTaskIds', id, true);
  if (message.role !== Role.ROLE_USER) {
    throw new RequestMalformedError(
      'message.role must be ROLE_USER: agents do not send messages to agents here',
    );
  }
  if (message.parts.length === 0)
    throw new RequestMalformedError('message.parts is empty: send at least one part');
  if (message.parts.length > maxParts) {
    throw new RequestMalformedError(
      `message.parts has ${message.parts.length} parts; at most ${maxParts} are taken`,
    );
  }
  for (const [index, part] of message.parts.entries()) {
    if (part.content === undefined) {
      throw new RequestMalformedError(
        `message.parts[${index}] has no content: set one of text, raw, url or data`,
      );
    }
    if (part.content.$case === 'data') checkDepth(`message.parts[${index}].data`, part.content.value);
    checkDepth(`message.parts[${index}].metadata`, part.metadata);
  }
  checkHistoryLength(request.configuration?.historyLength);
  checkDepth('message.metadata', message.metadata);
  checkDepth('metadata', request.metadata);
  return message;
}

/** @throws {RequestMalformedError} for a part whose content is too large to be sent inline */
export function checkPartSizes({ parts }: Message, maxPartBytes: number): void {
  for (const [index, { content }] of parts.entries()) {
    const bytes = sizeOf(content);
    if (bytes > maxPartBytes) {
      throw new RequestMalformedError(
        `message.parts[${index}] has ${bytes} bytes; at most ${maxPartBytes} are taken: send large content as a file by URL`,
      );
    }
  }
}

function sizeOf(content: Part['content']): number {
  switch (content?.$case) {
    case 'text':
    case 'url':
      return Buffer.byteLength(content.value);
    case 'raw':
      return content.value.length;
    case 'data':
      return Buffer.byteLength(JSON.stringify(content.value) ?? '');
    case undefined:
      return 0;
    default:
      return content satisfies never;
  }
}

const maxInt32 = 2 ** 31 - 1;

/** @throws {RequestMalformedError} */
export function checkHistoryLength(length: number | undefined): void {
  if (length !== undefined && (!Number.isInteger(length) || length < 0 || length > maxInt32)) {
    throw new RequestMalformedError(
      `historyLength must be a whole number from 0 to ${maxInt32}, not ${length}`,
    );
  }
}

/** @throws {RequestMalformedError} for an id that is missing though it must be there, too long, or not printable */
export function checkId(name: string, id: string, required: boolean): void {
  if (required && id.trim() === '') throw new RequestMalformedError(`${name} is missing or empty`);
  if (id.length > maxIdLength) {
    throw new RequestMalformedError(`${name} has ${id.length} characters; at most ${maxIdLength} are taken`);
  }
  // oxlint-disable-next-line no-control-regex -- control characters are exactly what is looked for
  if (/[\u0000-\u001f\u007f]/.test(id))
    throw new RequestMalformedError(`${name} contains a control character`);
  if (!id.isWellFormed()) throw new RequestMalformedError(`${name} contains half of a surrogate pair`);
}
