/**
 * Sets response headers that stop browsers from sniffing content types and caches from storing private
 * responses, and configures CORS: pages of other origins may not call unless their origin is configured.
 */
import cors from '@fastify/cors';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { warningHeader } from './warnings.ts';

export const contentSecurityPolicy = "default-src 'none'; frame-ancestors 'none'";

const defaults = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': contentSecurityPolicy,
  'referrer-policy': 'no-referrer',
  // Routes may override this.
  'cache-control': 'no-store',
};

/** The scopes of the caller's credential, in answers of extensions: pages offer only what their user may do. */
export const scopesHeader = 'Longhaul-Scopes';

/** Response headers that scripts of another origin may read in addition to the CORS-safelisted ones. */
const exposed = [
  'ETag',
  'Retry-After',
  'Preference-Applied',
  'A2A-Extensions',
  // The same in A2A 0.3.
  'X-A2A-Extensions',
  'WWW-Authenticate',
  warningHeader,
  scopesHeader,
];

/** @param secure whether clients connect over https */
export function createDefaultHeaders(secure: boolean): Record<string, string> {
  return { ...defaults, ...(secure && { 'strict-transport-security': 'max-age=31536000' }) };
}

/**
 * @param secure whether clients connect over https
 * @param corsOrigins origins such as `https://app.example`; `*`: any
 */
export async function registerHeaders(
  app: FastifyInstance,
  { secure, corsOrigins }: { secure: boolean; corsOrigins: readonly string[] },
): Promise<void> {
  const headers = createDefaultHeaders(secure);
  app.addHook('onRequest', (_request, reply, done) => {
    void reply.headers(headers);
    done();
  });
  if (corsOrigins.length === 0) return;
  await app.register(cors, {
    origin: corsOrigins.includes('*') ? '*' : [...corsOrigins],
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'],
    exposedHeaders: exposed,
    maxAge: 3600,
  });
}

/** Adds request headers that the response depends on to those that are already listed, such as `Origin` by CORS. */
export function addVary(reply: FastifyReply, ...names: readonly string[]): void {
  const before = reply.getHeader('vary');
  void reply.header('vary', [...(before === undefined ? [] : [before].flat()), ...names].join(', '));
}
