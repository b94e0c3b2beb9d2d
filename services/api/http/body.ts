/** Bodies of requests: their sizes, and their JSON. */
import { A2A_CONTENT_TYPE } from '@a2a-js/sdk';
import { ContentTypeNotSupportedError, RequestMalformedError } from '@a2a-js/sdk/errors';
import type { FastifyRequest } from 'fastify';
import { errorMessage } from '#shared/runtime/log.ts';
import { checkJsonText } from '../handler/validate/json.ts';

/** Limit of requests that send no message: they have a few short fields. */
export const maxSmallBodyBytes = 64 * 1024;

/**
 * Parses the body of a request; an empty body has no fields.
 *
 * @throws {ContentTypeNotSupportedError} if the media type is not a JSON type
 * @throws {RequestMalformedError} if it is not a JSON object, nested too deeply, or has too many values
 */
export function readBody(request: FastifyRequest): Readonly<Record<string, unknown>> {
  const text = typeof request.body === 'string' ? request.body.trim() : '';
  if (text === '') return {};
  const { mediaType } = request;
  if (mediaType !== undefined && mediaType !== A2A_CONTENT_TYPE && mediaType !== 'application/json') {
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
