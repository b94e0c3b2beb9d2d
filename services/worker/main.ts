/** The worker: environment → configuration → dependencies → pull → drain. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startOutboxLoops } from '#shared/outbox/loops.ts';
import { createOutboxPublisher } from '#shared/outbox/publisher.ts';
import { checkCapacity } from '#shared/db/client/capacity.ts';
import { checkDatabase, openDatabase } from '#shared/db/client/pool.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { createSpendReader } from '#shared/db/models/ledger.ts';
import { createModelQuotas } from '#shared/db/models/quotas.ts';
import { readBacklog, backlogGauges } from '#shared/db/outbox/backlog.ts';
import { createInputReader } from '#shared/db/turns/input.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { desiredConcurrency } from '#shared/domain/concurrency.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createTurnPublisher } from '#shared/gcp/pubsub.ts';
import { openSecretVariables } from '#shared/gcp/secrets.ts';
import { environment } from '#shared/runtime/config/environment.ts';
import { readWorkerConfig } from '#shared/runtime/config/worker.ts';
import { registerHealth } from '#shared/runtime/health.ts';
import { armFaultPoint } from '#shared/runtime/fault-points.ts';
import { observeGauges } from '#shared/runtime/instruments.ts';
import { configOrExit, runService, secretsOrExit } from '#shared/runtime/lifecycle.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { createServer } from '#shared/runtime/server.ts';
import { startTelemetry } from '#shared/runtime/telemetry.ts';
import { loadAgent } from './agent/load.ts';
import { createConsumer } from './intake/consumer.ts';
import { createFiles } from './turn/files.ts';
import { deadLetter, pullWakeups } from './intake/pull.ts';
import { createLeaseHeartbeat } from './turn/lease-heartbeat.ts';

const secrets = await secretsOrExit(() => openSecretVariables(environment));
const config = configOrExit(() => readWorkerConfig(secrets.env));
const log = createLogger('worker', config.logLevel, config.telemetry.project);
armFaultPoint(config.faultPoint);
const { leaseSeconds, wakeupGraceSeconds, pubsub } = config;

/** For those who ask whether it is ready. */
const answerMs = 50;

await runService(log, config.drainMs, async () => {
  const telemetry = await startTelemetry('worker', config.telemetry, log);
  const { db, pool } = openDatabase({
    ...config.database,
    applicationName: 'longhaul-worker',
    onError: (error) => log.warn({ error: error.message }, 'a database connection failed'),
  });
  void checkCapacity(db, config.database, log);
  const agent = await loadAgent({
    ...config,
    secretOf: (name) => secrets.env[name],
    meter: { spentToday: createSpendReader(db), quotas: createModelQuotas(db) },
    captureContent: config.telemetry.captureContent,
  });
  const publisher = createTurnPublisher(pubsub);
  const scheduler = createDeliveryScheduler(config.cloudTasks);
  const outbox = createOutboxPublisher({ db, ...publisher, ...scheduler, log });
  const loops = startOutboxLoops({ db, outbox, config, log });

  const keeper = createLeaseHeartbeat({ db, leaseSeconds, log });
  const claim = createClaim(db, { worker: config.workerName, leaseSeconds, wakeupGraceSeconds });
  const write = createTurnWriter(db, { wakeupGraceSeconds });
  const filesOf = createFiles(db, config.publicUrl);
  const readInput = createInputReader(db);
  const consumer = createConsumer({
    ...config,
    readInput,
    agent,
    claim,
    write,
    filesOf,
    keeper,
    outbox,
    log,
  });
  observeGauges([...backlogGauges, 'turnsRunning', 'turnsDesired'], async () => {
    const statistics = await readBacklog(db);
    const { turnsWaiting: waiting, turnsLeased: running } = statistics;
    const turnsDesired = desiredConcurrency({ running, waiting, meanSeconds: consumer.meanSeconds });
    return { ...statistics, turnsRunning: consumer.running, turnsDesired };
  });

  const app = createServer();
  if (config.push !== undefined) {
    const { registerPush } = await import('./intake/push.ts');
    registerPush(app, { ...config.push, consumer, onDeadLetter: deadLetter(db, log), log });
  }
  registerHealth(app, () => checkDatabase(db));
  const address = await app.listen({ host: config.host, port: config.port });
  // Who waited for the start is answered first: loading what is large holds up everything else.
  await sleep(answerMs);
  const sources = config.push === undefined ? pullWakeups(db, pubsub, config.concurrency, consumer, log) : [];
  agent.open?.();

  return {
    address,
    drain: async () => {
      // A third of the time is kept for giving leases back and for the last wakeups.
      const closed = sources.map((source) => source.close());
      // Whatever closing a source comes to, the leases are given back.
      await Promise.allSettled([...closed, consumer.drain((config.drainMs * 2) / 3)]);
      await agent.close?.();
      await Promise.all([keeper.close(), loops.close(), outbox.idle(), app.close()]);
      await Promise.all([publisher.close(), scheduler.close(), telemetry.close()]);
      await Promise.all([pool.end(), secrets.close()]);
    },
  };
});
