/** The dispatcher's HTTP interface: called by Cloud Tasks, Cloud Scheduler and the platform, never by clients. */
import { reconcile } from '#shared/outbox/reconciler.ts';
import { relayOutbox } from '#shared/outbox/relay.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { checkDatabase } from '#shared/db/client/check.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { CallerError, createCheckCaller } from '#shared/gcp/caller-auth.ts';
import type { OutboxConfig } from '#shared/runtime/config/common.ts';
import type { CallersConfig } from '#shared/runtime/config/callers.ts';
import { registerHealth } from '#shared/runtime/health.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { closeAfterRequests, createServer } from '#shared/runtime/server.ts';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import * as v from 'valibot';
import type { Deliver } from './deliver.ts';

export interface AppParts {
  db: Db;
  outbox: OutboxPublisher;
  deliver: Deliver;
  config: OutboxConfig;
  callers: CallersConfig;
  log: Logger;
}

const DeliverBody = v.object({
  taskId: v.pipe(v.string(), v.uuid()),
  configId: v.pipe(v.string(), v.minLength(1)),
  traceparent: v.exactOptional(v.string()),
});

export function createApp(parts: AppParts): FastifyInstance {
  const { db, outbox, deliver, config, callers, log } = parts;
  const app = createServer({ bodyLimit: 16 * 1024 });
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
    log.error({ path: request.url, error: errorMessage(error) }, 'a request failed');
    return reply.code(503).header('retry-after', '5').send({ error: 'try again' });
  });

  app.post('/deliver', { onRequest: fromTasks }, async ({ body }, reply) => {
    if (!v.is(DeliverBody, body))
      return reply.code(400).send({ error: 'the body must have a taskId, which is a UUID, and a configId' });
    await deliver(body);
    return reply.code(204).send();
  });

  // Cloud Scheduler sends a body of its own, or none.
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
  app.post('/reconcile', { onRequest: fromScheduler }, async (_request, reply) => {
    while (await relayOutbox({ db, outbox }));
    while (await reconcile({ db, outbox, config, log }));
    return reply.code(204).send();
  });

  registerHealth(app, () => checkDatabase(db));
  return app;
}
