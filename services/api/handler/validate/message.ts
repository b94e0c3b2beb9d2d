/** Validates messages before they are processed. Every error names the field and what is accepted. */
import { Role, type Message, type Part, type SendMessageRequest } from '@a2a-js/sdk';
import { RequestMalformedError } from '@a2a-js/sdk/errors';

const maxIdLength = 256;
const maxParts = 1000;
const maxReferences = 100;
const maxInt32 = 2 ** 31 - 1;

/** The recursion limit of ProtoJSON, in which A2A is defined. Code that reads or writes JSON may recurse. */
const maxDepth = 100;
/** For a whole body: room for the request around values of `maxDepth`. */
export const maxBodyDepth = maxDepth + 20;

/** @throws {RequestMalformedError} */
export function checkMessage(request: SendMessageRequest): Message {
  const { message } = request;
  if (message === undefined) throw new RequestMalformedError('message is missing');
  checkId('message.messageId', message.messageId, true);
  checkId('message.contextId', message.contextId, false);
  checkId('message.taskId', message.taskId, false);
  if (message.referenceTaskIds.length > maxReferences) {
    throw new RequestMalformedError(
      `message.referenceTaskIds has ${message.referenceTaskIds.length} ids: send at most ${maxReferences}`,
    );
  }
  for (const id of message.referenceTaskIds) checkId('message.referenceTaskIds', id, true);
  if (message.role !== Role.ROLE_USER) {
    throw new RequestMalformedError('message.role must be ROLE_USER: this agent accepts user messages only');
  }
  if (message.parts.length === 0) {
    throw new RequestMalformedError('message.parts is empty: send at least one part');
  }
  if (message.parts.length > maxParts) {
    throw new RequestMalformedError(
      `message.parts has ${message.parts.length} parts: send at most ${maxParts}`,
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

/** @throws {RequestMalformedError} if the inline content of a part is larger than `maxPartBytes` */
export function checkPartSizes({ parts }: Message, maxPartBytes: number): void {
  for (const [index, { content }] of parts.entries()) {
    const bytes = countBytes(content);
    if (bytes > maxPartBytes) {
      throw new RequestMalformedError(
        `message.parts[${index}] has ${bytes} bytes, more than the limit of ${maxPartBytes}: send large content as a file by URL`,
      );
    }
  }
}

function countBytes(content: Part['content']): number {
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

/** @throws {RequestMalformedError} if the length is not an integer from 0 to 2^31 - 1 */
export function checkHistoryLength(length: number | undefined): void {
  if (length !== undefined && (!Number.isInteger(length) || length < 0 || length > maxInt32)) {
    throw new RequestMalformedError(
      `historyLength must be a whole number from 0 to ${maxInt32}, not ${length}`,
    );
  }
}

/**
 * @throws {RequestMalformedError} if the id is required and empty, longer than 256 characters, or not
 * printable
 */
export function checkId(name: string, id: string, required: boolean): void {
  if (required && id.trim() === '') throw new RequestMalformedError(`${name} is missing or empty`);
  if (id.length > maxIdLength) {
    throw new RequestMalformedError(`${name} has ${id.length} characters: use at most ${maxIdLength}`);
  }
  // oxlint-disable-next-line no-control-regex -- control characters are what this finds
  if (/[\u0000-\u001f\u007f]/.test(id)) {
    throw new RequestMalformedError(`${name} contains a control character: use printable characters only`);
  }
  if (!id.isWellFormed())
    throw new RequestMalformedError(`${name} contains half of a surrogate pair: send valid Unicode`);
}

/** @throws {RequestMalformedError} if objects and arrays are nested deeper than `max` levels */
export function checkDepth(name: string, value: unknown, max: number = maxDepth): void {
  if (isDeeper(value, max)) {
    throw new RequestMalformedError(`${name} is nested too deeply: use at most ${max} levels`);
  }
}

/** Recurses at most `max` levels. */
function isDeeper(value: unknown, max: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (max < 0) return true;
  if (Array.isArray(value)) return value.some((item) => isDeeper(item, max - 1));
  // Building an array of the values of each object would cost five times as much.
  for (const key in value) if (isDeeper(value[key as keyof typeof value], max - 1)) return true;
  return false;
}
