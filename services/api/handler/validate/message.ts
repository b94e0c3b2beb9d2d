/** Validates messages before they are processed. Every error names the field and what is accepted. */
import { Role, type Message, type Part, type SendMessageRequest } from '@a2a-js/sdk';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import { findApprovalProblem } from '#shared/agent/approval.ts';
import { hasControlCharacter } from '#shared/domain/ids.ts';
import type { MessageLimits } from '#shared/runtime/config/api.ts';
import { JsonBounds } from './json.ts';

const maxIdLength = 256;
const maxReferences = 100;
const maxExtensions = 100;
const maxOutputModes = 100;
/** Characters of a URL. Signed URLs have up to about 2,000 characters. */
const maxUrlLength = 8192;
const maxNameLength = 1024;
const maxInt32 = 2 ** 31 - 1;

/** The metadata of the request is part of the task: every answer with the task contains it. In bytes of its JSON. */
const maxMetadataBytes = 64 * 1024;

/** @throws {RequestMalformedError} */
export function checkMessage(request: SendMessageRequest, limits: MessageLimits): Message {
  const { message, configuration } = request;
  if (message === undefined) throw new RequestMalformedError('message is missing');
  checkId('message.messageId', message.messageId, true);
  checkId('message.contextId', message.contextId, false);
  checkId('message.taskId', message.taskId, false);
  checkCount('message.referenceTaskIds', message.referenceTaskIds, maxReferences, 'ids');
  for (const id of message.referenceTaskIds) checkId('message.referenceTaskIds', id, true);
  checkTexts('message.extensions', message.extensions, maxExtensions, 'URIs');
  if (message.role !== Role.ROLE_USER) {
    throw new RequestMalformedError('message.role must be ROLE_USER: this agent accepts user messages only');
  }
  const bounds = new JsonBounds();
  checkParts(message.parts, limits, bounds);
  checkHistoryLength(configuration?.historyLength);
  checkTexts(
    'configuration.acceptedOutputModes',
    configuration?.acceptedOutputModes ?? [],
    maxOutputModes,
    'media types',
  );
  bounds.check('message.metadata', message.metadata);
  checkApproval('message.metadata', message.metadata);
  bounds.check('metadata', request.metadata);
  checkMetadataSize(request.metadata);
  return message;
}

/**
 * Checks the size of a message as it is stored, as JSON. Escaped characters and base64 can make it larger than the request.
 *
 * @throws {RequestMalformedError}
 */
export function checkMessageSize(bytes: number, maxBytes: number): void {
  if (bytes <= maxBytes) return;
  throw new RequestMalformedError(
    `message has ${bytes} bytes as JSON, more than the limit of ${maxBytes}: send large content as a file by URL`,
  );
}

function checkParts(parts: readonly Part[], limits: MessageLimits, bounds: JsonBounds): void {
  if (parts.length === 0) {
    throw new RequestMalformedError('message.parts is empty: send at least one part');
  }
  checkCount('message.parts', parts, limits.parts, 'parts');
  let urls = 0;
  for (const [index, part] of parts.entries()) {
    const name = `message.parts[${index}]`;
    checkLength(`${name}.filename`, part.filename, maxNameLength);
    checkLength(`${name}.mediaType`, part.mediaType, maxIdLength);
    if (part.content?.$case === 'url') urls += 1;
    if (part.content?.$case === 'data') {
      bounds.check(`${name}.data`, part.content.value);
      checkApproval(`${name}.data`, part.content.value);
    }
    bounds.check(`${name}.metadata`, part.metadata);
    checkContent(name, part, limits.partBytes);
  }
  if (urls > limits.urlParts) {
    throw new RequestMalformedError(
      `message.parts has ${urls} files by URL: send at most ${limits.urlParts}`,
    );
  }
}

/** Clients of A2A 0.3 can omit the content of a part: the translation of the SDK does not notice. */
function checkContent(name: string, { content }: Part, maxBytes: number): void {
  if (content === undefined || content.value === undefined) {
    throw new RequestMalformedError(`${name} has no content: set one of text, raw, url or data`);
  }
  const bytes = countBytes(name, content);
  if (bytes > maxBytes) {
    throw new RequestMalformedError(
      `${name} has ${bytes} bytes, more than the limit of ${maxBytes}: send large content as a file by URL`,
    );
  }
}

function countBytes(name: string, content: NonNullable<Part['content']>): number {
  switch (content.$case) {
    case 'url':
      checkLength(`${name}.url`, content.value, maxUrlLength);
      return content.value.length;
    case 'text':
      if (typeof content.value !== 'string') throw new RequestMalformedError(`${name}.text must be a string`);
      return Buffer.byteLength(content.value);
    case 'raw':
      return content.value.length;
    case 'data':
      return Buffer.byteLength(JSON.stringify(content.value) ?? '');
    default:
      return content satisfies never;
  }
}

/** Decisions that cannot be read would only make the task ask again. */
function checkApproval(name: string, value: unknown): void {
  const problem = findApprovalProblem(value);
  if (problem !== undefined) {
    throw new RequestMalformedError(
      `${name}${problem}: send {"decisions": [{"id", "argumentsHash", "approve"}]}`,
    );
  }
}

function checkMetadataSize(metadata: SendMessageRequest['metadata']): void {
  if (metadata === undefined) return;
  const bytes = Buffer.byteLength(JSON.stringify(metadata));
  if (bytes > maxMetadataBytes) {
    throw new RequestMalformedError(
      `metadata has ${bytes} bytes as JSON: send at most ${maxMetadataBytes}, or use message.metadata`,
    );
  }
}

function checkCount(name: string, items: readonly unknown[], max: number, unit: string): void {
  if (items.length > max) {
    throw new RequestMalformedError(`${name} has ${items.length} ${unit}: send at most ${max}`);
  }
}

function checkTexts(name: string, texts: readonly string[], max: number, unit: string): void {
  checkCount(name, texts, max, unit);
  for (const text of texts) checkLength(name, text, maxNameLength);
}

function checkLength(name: string, text: string, max: number): void {
  if (typeof text !== 'string') throw new RequestMalformedError(`${name} must be a string`);
  if (text.length > max) {
    throw new RequestMalformedError(`${name} has ${text.length} characters: use at most ${max}`);
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
  checkLength(name, id, maxIdLength);
  if (required && id.trim() === '') throw new RequestMalformedError(`${name} is missing or empty`);
  if (hasControlCharacter(id)) {
    throw new RequestMalformedError(`${name} contains a control character: use printable characters only`);
  }
  if (!id.isWellFormed())
    throw new RequestMalformedError(`${name} contains half of a surrogate pair: send valid Unicode`);
}
