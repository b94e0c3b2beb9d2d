/**
 * Headers that keep browsers from making of an answer what it is not, and caches from keeping what is one caller's own;
 * and which pages of other origins may call at all: none, unless they are named.
 */
import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';

const always = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  // Unless a route says otherwise.
  'cache-control': 'no-store',
};

/** Headers that scripts of another origin may read beside the safe ones. */
const exposed = ['ETag', 'Retry-After', 'Preference-Applied', 'A2A-Extensions', 'WWW-Authenticate'];

/**
 * @param secure whether clients come by https
 * @param corsOrigins origins such as `https://app.example`; `*`: any
 */
export async function registerHeaders(
  app: FastifyInstance,
  { secure, corsOrigins }: { secure: boolean; corsOrigins: readonly string[] },
): Promise<void> {
  const own = { ...always, ...(secure && { 'strict-transport-security': 'max-age=31536000' }) };
  app.addHook('onRequest', (_request, reply, done) => {
    void reply.headers(own);
    done();
  });
  if (corsOrigins.length === 0) return;
  await app.register(cors, {
    origin: corsOrigins.includes('*') ? '*' : [...corsOrigins],
    methods: ['GET', 'HEAD', 'POST', 'DELETE'],
    exposedHeaders: exposed,
    maxAge: 3600,
  });
}
