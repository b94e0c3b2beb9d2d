/** Bodies of requests: their sizes, their encoding, and their JSON. */
import { isUtf8 } from 'node:buffer';
import { A2A_CONTENT_TYPE } from '@a2a-js/sdk';
import { ContentTypeNotSupportedError, RequestMalformedError } from '@a2a-js/sdk/errors';
import type { FastifyRequest } from 'fastify';
import { errorMessage } from '#shared/runtime/log.ts';
import { HttpRequestError } from '../handler/errors.ts';
import { checkJsonText } from '../handler/validate/json.ts';

/** Limit of requests that send no message: they have a few short fields. */
export const maxSmallBodyBytes = 64 * 1024;

/** Names of UTF-8, and of its subset. */
const acceptedCharsets = new Set(['utf-8', 'utf8', 'us-ascii', 'ascii']);

/**
 * Returns the text of a body, without a byte order mark; an empty text without a body.
 *
 * @throws {HttpRequestError} 415 if the body is compressed, or in another encoding than UTF-8
 * @throws {RequestMalformedError} if it is not UTF-8
 */
export function readText({ body, headers }: FastifyRequest): string {
  if (!Buffer.isBuffer(body) || body.length === 0) return '';
  const coding = headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (coding !== 'identity' && coding !== '') {
    throw new HttpRequestError(415, `the body is encoded as ${coding}: send it without Content-Encoding`);
  }
  const charset = /;\s*charset\s*=\s*"?([^\s";]*)/i.exec(headers['content-type'] ?? '')?.[1];
  if (charset !== undefined && !acceptedCharsets.has(charset.toLowerCase())) {
    throw new HttpRequestError(415, `the body has the charset ${charset}: send it in UTF-8`);
  }
  if (!isUtf8(body)) throw new RequestMalformedError('the body is not valid JSON: it must be in UTF-8');
  const text = body.toString();
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

/**
 * Parses the body of a request; an empty body has no fields.
 *
 * @throws {HttpRequestError} as `readText`
 * @throws {ContentTypeNotSupportedError} if there is a body and its media type is not a JSON type
 * @throws {RequestMalformedError} if it is not a JSON object, nested too deeply, or has too many values
 */
export function readBody(request: FastifyRequest): Readonly<Record<string, unknown>> {
  const text = readText(request).trim();
  if (text === '') return {};
  const { mediaType = 'a body without Content-Type' } = request;
  // A browser sends any other type, and a body without one, for pages of other sites without asking first.
  if (mediaType !== A2A_CONTENT_TYPE && mediaType !== 'application/json') {
    throw new ContentTypeNotSupportedError(
      `the body must be ${A2A_CONTENT_TYPE} or application/json, not ${mediaType}`,
    );
  }
  checkJsonText('the body', text);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new RequestMalformedError(`the body is not valid JSON: ${errorMessage(error)}`);
  }
  // Some clients send null for a request without fields.
  if (body === null) return {};
  if (typeof body === 'object' && !Array.isArray(body)) return body as Readonly<Record<string, unknown>>;
  throw new RequestMalformedError('the body must be a JSON object with the fields of the request');
}
