/** The dispatcher's HTTP interface: called by Cloud Tasks, Cloud Scheduler and the platform, never by clients. */
import { reconcile } from '#shared/bells/reconcile.ts';
import { relayBells } from '#shared/bells/relay.ts';
import type { Ringer } from '#shared/bells/ringer.ts';
import { checkDatabase } from '#shared/db/check.ts';
import type { Db } from '#shared/db/database.ts';
import { CallerError, createCheckCaller } from '#shared/gcp/caller-auth.ts';
import type { DeliverRequest } from '#shared/gcp/cloud-tasks.ts';
import type { BellConfig } from '#shared/runtime/config/common.ts';
import type { CallersConfig } from '#shared/runtime/config/callers.ts';
import { registerHealth } from '#shared/runtime/health.ts';
import { closeAfterRequests } from '#shared/runtime/in-flight.ts';
import { messageOf, type Logger } from '#shared/runtime/log.ts';
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import type { Deliver } from './deliver.ts';

export interface AppParts {
  db: Db;
  ringer: Ringer;
  deliver: Deliver;
  config: BellConfig;
  callers: CallersConfig;
  log: Logger;
}

const deliverSchema = {
  body: {
    type: 'object',
    required: ['taskId', 'configId'],
    properties: {
      taskId: { type: 'string', pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' },
      configId: { type: 'string', minLength: 1 },
      traceparent: { type: 'string' },
    },
  },
};

export function createApp(parts: AppParts): FastifyInstance {
  const { db, ringer, deliver, config, callers, log } = parts;
  const app = Fastify({ logger: false, bodyLimit: 16 * 1024, forceCloseConnections: true });
  closeAfterRequests(app);

  const check = createCheckCaller(callers.auth);
  const only = (email: string) => (request: FastifyRequest) => check(request.headers.authorization, email);
  const fromTasks = only(callers.tasksAccount);
  const fromScheduler = only(callers.schedulerAccount);

  // Whatever went wrong is worth another try: what the receiver answered is recorded, and is no error here.
  app.setErrorHandler((error: Error & { statusCode?: number }, request, reply) => {
    if (error instanceof CallerError) {
      log.warn({ path: request.url, reason: error.message }, 'a call was refused');
      return reply.code(401).send({ error: 'unauthorized' });
    }
    if (error.statusCode !== undefined && error.statusCode < 500) return reply.send(error);
    log.error({ path: request.url, error: messageOf(error) }, 'a request failed');
    return reply.code(503).header('retry-after', '5').send({ error: 'try again' });
  });

  app.post<{ Body: DeliverRequest }>(
    '/deliver',
    { schema: deliverSchema, onRequest: fromTasks },
    async (request, reply) => {
      await deliver(request.body);
      return reply.code(204).send();
    },
  );

  // Cloud Scheduler sends a body of its own, or none.
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
  app.post('/reconcile', { onRequest: fromScheduler }, async (_request, reply) => {
    while (await relayBells({ db, ringer }));
    while (await reconcile({ db, ringer, config, log }));
    return reply.code(204).send();
  });

  registerHealth(app, () => checkDatabase(db));
  return app;
}
