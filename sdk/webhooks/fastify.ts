/** Receives webhooks with Fastify. */
import type { FastifyPluginAsync } from 'fastify';
import { defaultMaxBodyBytes, receive, type ReceiverOptions } from './receive.ts';

/**
 * Creates a plugin with one route: `app.register(fastifyWebhook({ path: '/hook', secret, onEvent }))`. It takes the raw
 * body of every content type; the parsers of other routes stay as they are. Fastify answers errors of `onEvent`
 * with 500.
 */
export function fastifyWebhook(options: ReceiverOptions & { path: string }): FastifyPluginAsync {
  const { path, maxBodyBytes = defaultMaxBodyBytes } = options;
  return async (app) => {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser(
      '*',
      { parseAs: 'buffer', bodyLimit: maxBodyBytes },
      async (_: unknown, body: Buffer) => body,
    );
    app.post(path, { bodyLimit: maxBodyBytes }, async ({ headers, body }, reply) => {
      const raw = Buffer.isBuffer(body) ? body : Buffer.alloc(0);
      const { status, problem } = await receive({ headers, body: raw }, options);
      return reply.code(status).send(problem === undefined ? undefined : { error: problem });
    });
  };
}
