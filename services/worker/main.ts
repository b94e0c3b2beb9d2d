/** The worker: environment → configuration → dependencies → pull → drain. */
import { fastify } from 'fastify';
import { startBellLoops } from '#shared/bells/loops.ts';
import { createRinger } from '#shared/bells/ringer.ts';
import { checkDatabase } from '#shared/db/check.ts';
import { openDatabase } from '#shared/db/database.ts';
import { claimTurns } from '#shared/db/leases.ts';
import { writeTurns } from '#shared/db/turns.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createTurnPublisher, pullTurns } from '#shared/gcp/pubsub.ts';
import { readWorkerConfig } from '#shared/runtime/config.ts';
import { registerHealth } from '#shared/runtime/health.ts';
import { armFaultPoint } from '#shared/runtime/fault-points.ts';
import { configOrExit, runService } from '#shared/runtime/lifecycle.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { loadAgent } from './agent/load.ts';
import { createConsumer } from './consume.ts';
import { pullDeadLetters } from './dead-letters.ts';
import { createLeaseKeeper } from './lease-keeper.ts';

const config = configOrExit(() => readWorkerConfig());
const log = createLogger('worker', config.logLevel);
armFaultPoint(config.faultPoint);
const { leaseSeconds, bellGraceSeconds, pubsub } = config;

await runService(log, config.drainMs, async () => {
  const { db, pool } = openDatabase({
    ...config.database,
    applicationName: 'longhaul-worker',
    onError: (error) => log.warn({ error: error.message }, 'a database connection failed'),
  });
  const agent = await loadAgent({ agentModule: config.agentModule, gemini: config.gemini });
  const publisher = createTurnPublisher(pubsub);
  const scheduler = createDeliveryScheduler(config.cloudTasks);
  const ringer = createRinger({ db, ...publisher, ...scheduler, log });
  const loops = startBellLoops({ db, ringer, config, log });

  const keeper = createLeaseKeeper({ db, leaseSeconds, log });
  const claim = claimTurns(db, { worker: config.workerName, leaseSeconds, bellGraceSeconds });
  const write = writeTurns(db, { bellGraceSeconds });
  const consumer = createConsumer({ ...config, db, agent, claim, write, keeper, ringer, log });
  // Bells that wait for a free slot; more of them would be kept from workers that have one.
  const prefetch = Math.min(config.concurrency, 100);
  const turns = pullTurns(
    pubsub,
    { subscription: pubsub.subscription, maxMessages: prefetch },
    consumer.onTurn,
    log,
  );
  const deadLetters = pullDeadLetters(db, pubsub, log);

  const app = fastify();
  registerHealth(app, () => checkDatabase(db));
  const address = await app.listen({ host: config.host, port: config.port });

  return {
    address,
    drain: async () => {
      // A third of the time is kept for giving leases back and for the last bells.
      await Promise.all([turns.close(), deadLetters.close(), consumer.drain((config.drainMs * 2) / 3)]);
      await Promise.all([keeper.close(), loops.close(), ringer.idle(), app.close()]);
      await Promise.all([publisher.close(), scheduler.close()]);
      await pool.end();
    },
  };
});
