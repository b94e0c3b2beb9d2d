/**
 * Keeps the pages of other sites from calling MCP (2026-07-28, basic/transports/streamable-http, "Security & Endpoint").
 * Without authentication, `refuseForeignPages` has checked more than this.
 */
import type { FastifyRequest } from 'fastify';
import { HttpRequestError } from '../handler/errors.ts';
import { isOwn } from '../http/foreign-pages.ts';

export interface OriginOptions {
  /** Origins whose pages may call; `*`: all. */
  corsOrigins: readonly string[];
  publicUrl: string;
}

/** @throws {HttpRequestError} 403 */
export function checkOrigin(
  { headers: { origin, host = '' } }: Pick<FastifyRequest, 'headers'>,
  { corsOrigins, publicUrl }: OriginOptions,
): void {
  if (origin === undefined || corsOrigins.includes('*') || corsOrigins.includes(origin)) return;
  if (origin === new URL(publicUrl).origin || (URL.canParse(`http://${host}`) && isOwn(origin, host))) return;
  throw new HttpRequestError(403, `The origin "${origin}" is not in CORS_ORIGINS`);
}
