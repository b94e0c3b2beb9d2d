/**
 * The HTTP interface of the dispatcher. Only Cloud Tasks, Cloud Scheduler and the platform call it, not
 * clients.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import * as v from 'valibot';
import type { Encryptor } from '#shared/crypto/encryption.ts';
import type { Db } from '#shared/db/client/pool.ts';
import type { GetOwnerLimits } from '#shared/db/owners/limits.ts';
import { CallerError, createCheckCaller } from '#shared/gcp/caller-auth.ts';
import { maxWoken } from '#shared/gcp/cloud-tasks.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { createReconciler } from '#shared/outbox/reconciler.ts';
import { relayOutbox } from '#shared/outbox/relay.ts';
import { runSchedules } from '#shared/outbox/schedules.ts';
import type { CallersConfig } from '#shared/runtime/config/callers.ts';
import type { OutboxConfig } from '#shared/runtime/config/common.ts';
import { registerHealth, shareReadyCheck, type ReadyCheck } from '#shared/runtime/health.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { closeAfterRequests, createServer } from '#shared/runtime/server.ts';
import type { Deliveries } from './deliver.ts';

export interface DispatcherServerParts {
  db: Db;
  ready: ReadyCheck;
  outbox: OutboxPublisher;
  deliver: Deliveries['deliver'];
  config: OutboxConfig;
  getLimits: GetOwnerLimits;
  encryptor: Encryptor;
  callers: CallersConfig;
  log: Logger;
}

const ConfigBody = v.object({
  taskId: v.pipe(v.string(), v.uuid()),
  configId: v.pipe(v.string(), v.minLength(1)),
});
const DeliverBody = v.object({
  configs: v.pipe(v.array(ConfigBody), v.minLength(1), v.maxLength(maxWoken)),
  traceparent: v.exactOptional(v.string()),
});

export function createDispatcherServer(parts: DispatcherServerParts): FastifyInstance {
  const { db, ready, outbox, deliver, config, getLimits, encryptor, callers, log } = parts;
  const app = createServer({ bodyLimit: 128 * 1024 });
  closeAfterRequests(app);

  const reconcile = createReconciler({ db, outbox, config, log });
  const check = createCheckCaller(callers.auth);
  const only = (email: string) => (request: FastifyRequest) => check(request.headers, email);
  const fromTasks = only(callers.tasksAccount);
  const fromScheduler = only(callers.schedulerAccount);

  // Every failure of the dispatcher itself can be retried. Failed webhook attempts are recorded and are not
  // errors here.
  app.setErrorHandler((error: Error & { statusCode?: number }, request, reply) => {
    if (error instanceof CallerError) {
      log.warn({ path: request.url, reason: error.message }, 'call refused');
      return reply.code(401).send({ error: 'unauthorized' });
    }
    if (error.statusCode !== undefined && error.statusCode < 500) return reply.send(error);
    log.error({ path: request.url, error: errorMessage(error) }, 'request failed');
    return reply.code(503).header('retry-after', '5').send({ error: 'try again' });
  });

  app.post('/deliver', { onRequest: fromTasks }, async ({ body }, reply) => {
    if (!v.is(DeliverBody, body)) {
      return reply.code(400).send({
        error: `the body is not valid: configs must have 1 to ${maxWoken} entries, each with a UUID as taskId and a string as configId`,
      });
    }
    await deliver(body);
    return reply.code(204).send();
  });

  // Cloud Scheduler may send a body, which is ignored.
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
  app.post('/reconcile', { onRequest: fromScheduler }, async (_request, reply) => {
    while (await relayOutbox({ db, outbox }));
    while (await reconcile());
    const { wakeupGraceSeconds } = config;
    const schedules = { db, outbox, getLimits, encryptor, wakeupGraceSeconds, log };
    while ((await runSchedules(schedules)) === 0);
    return reply.code(204).send();
  });

  registerHealth(app, shareReadyCheck(ready), log);
  return app;
}
