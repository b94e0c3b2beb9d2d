import type { FastifyRequest } from 'fastify';

/** The media type of a request's body without its parameters; undefined where none is named. */
export function mediaTypeOf(request: FastifyRequest): string | undefined {
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  return type === '' ? undefined : type;
}
