/**
 * Ends loops of webhooks. A webhook whose URL is a route of this service could cause the next webhook, with the
 * credentials of its config. The service may answer on names that it does not know (a load balancer, a second URL of
 * Cloud Run), so its webhooks are recognised by their headers, under every name.
 *
 * The answer 410 disables the config. Callbacks (docs/develop/waits.md) accept webhooks: each accepts one answer, so it cannot loop.
 */
import type { FastifyInstance } from 'fastify';
import { callbacksPath } from '#shared/domain/wait.ts';
import { taskIdHeader } from '#shared/webhooks/headers.ts';
import { HttpRequestError } from '../handler/errors.ts';

/** Applies to all routes that are registered after this call. */
export function refuseOwnWebhooks(app: FastifyInstance): void {
  app.addHook('onRequest', ({ headers, url }, _reply, done) => {
    if (headers[taskIdHeader] === undefined || url.startsWith(`${callbacksPath}/`)) done();
    else done(new HttpRequestError(410, 'Webhooks of this service cannot be sent to the service itself'));
  });
}
