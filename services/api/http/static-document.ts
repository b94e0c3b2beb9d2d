/** Documents that are the same for all callers, with the headers that caches need to store and revalidate them (A2A section 8.6). */
import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { matchesEntityTag } from './conditional.ts';

/** One minute: a deploy that changes the document is visible soon enough. */
const cacheControl = 'public, max-age=60';

export interface StaticDocument {
  body: string;
  etag: string;
  lastModified: Date;
}

export function createDocument(content: unknown): StaticDocument {
  const body = JSON.stringify(content);
  return {
    body,
    etag: `"${createHash('sha256').update(body).digest('base64url')}"`,
    // Rounded down to the whole seconds of HTTP dates: a date in the future would be ignored.
    lastModified: new Date(Math.floor(Date.now() / 1000) * 1000),
  };
}

export async function sendDocument(
  request: FastifyRequest,
  reply: FastifyReply,
  document: StaticDocument,
): Promise<FastifyReply> {
  void reply
    .header('cache-control', cacheControl)
    .header('etag', document.etag)
    .header('last-modified', document.lastModified.toUTCString());
  if (isCurrent(request, document)) return reply.code(304).send();
  return reply.header('content-type', 'application/json').send(document.body);
}

/** If the client sends an entity tag, it alone decides (RFC 9110, section 13.2.2). */
function isCurrent({ headers }: FastifyRequest, { etag, lastModified }: StaticDocument): boolean {
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined) return matchesEntityTag(ifNoneMatch, etag);
  const since = Date.parse(headers['if-modified-since'] ?? '');
  return since >= lastModified.getTime();
}
