/**
 * Builds the worker, starts it and drains it:
 *
 *   Pub/Sub ──▶ intake (pull or push) ──▶ claim ──▶ turn ──▶ agent
 *
 * Draining releases all leases, so that other workers can continue the turns at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { checkCapacity } from '#shared/db/client/capacity.ts';
import { checkDatabase, openDatabase, type Db } from '#shared/db/client/pool.ts';
import { createSpendReader } from '#shared/db/models/ledger.ts';
import { createModelQuotas } from '#shared/db/models/quotas.ts';
import { backlogGauges, readBacklog } from '#shared/db/outbox/backlog.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { createInputReader } from '#shared/db/turns/input.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { desiredConcurrency } from '#shared/domain/concurrency.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createTurnPublisher } from '#shared/gcp/pubsub.ts';
import type { SecretVariables } from '#shared/gcp/secrets.ts';
import { startOutboxLoops } from '#shared/outbox/loops.ts';
import { createOutboxPublisher } from '#shared/outbox/publisher.ts';
import type { PushAuthConfig } from '#shared/runtime/config/callers.ts';
import type { WorkerConfig } from '#shared/runtime/config/worker.ts';
import { registerHealth } from '#shared/runtime/health.ts';
import { observeGauges } from '#shared/runtime/instruments.ts';
import type { Service } from '#shared/runtime/lifecycle.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { createServer } from '#shared/runtime/server.ts';
import { startTelemetry } from '#shared/runtime/telemetry.ts';
import { loadAgent } from './agent/load.ts';
import { createTurnConsumer, type TurnConsumer } from './intake/consumer.ts';
import { createDeadLetterHandler, pullWakeups } from './intake/pull.ts';
import { createTurnFiles } from './turn/files.ts';
import { createLeaseHeartbeat } from './turn/lease-heartbeat.ts';
import { MemoryBudget } from './turn/memory-budget.ts';
import { createMemoryWatch, type MemoryWatch } from './turn/memory-watch.ts';
import { Suspects } from './turn/suspects.ts';

/** Time to answer pending readiness probes before large modules are loaded, which blocks the process. */
const probeMs = 50;

/**
 * The share of the drain time that running turns get. The rest is for releasing leases and publishing
 * wake-ups.
 */
const turnDrainShare = 2 / 3;

export async function startWorker(
  config: WorkerConfig,
  secrets: SecretVariables,
  log: Logger,
): Promise<Service> {
  const { pubsub, leaseSeconds, wakeupGraceSeconds, concurrency, maxAttempts, recordBytes, drainMs } = config;
  const telemetry = await startTelemetry('worker', config.telemetry, log);
  const { db, pool } = openDatabase({
    database: config.database,
    applicationName: 'longhaul-worker',
    onError: (error) => log.warn({ error: error.message }, 'database connection failed'),
  });
  void checkCapacity(db, config.database, log);
  const agent = await loadAgent({
    agentFile: config.agentFile,
    agentModule: config.agentModule,
    gemini: config.gemini,
    files: config.files,
    getSecret: (name) => secrets.env[name],
    meter: { spentToday: createSpendReader(db), quotas: createModelQuotas(db) },
    captureContent: config.telemetry.captureContent,
  });
  const turnPublisher = createTurnPublisher(pubsub);
  const scheduler = createDeliveryScheduler(config.cloudTasks);
  const { publishTurns } = turnPublisher;
  const { scheduleDelivery } = scheduler;
  const outbox = createOutboxPublisher({ db, publishTurns, scheduleDelivery, log });
  const loops = startOutboxLoops({ db, outbox, config, log });
  const memoryWatch = createMemoryWatch();
  const heartbeat = createLeaseHeartbeat({ db, leaseSeconds, log });
  const consumer = createTurnConsumer({
    agent,
    claimTurn: createClaim(db, { worker: config.workerName, leaseSeconds, wakeupGraceSeconds, maxAttempts }),
    readInput: createInputReader(db, { recordBytes }),
    write: createTurnWriter(db, { wakeupGraceSeconds }),
    openFiles: createTurnFiles(db, config.publicUrl),
    heartbeat,
    outbox,
    source: pubsub,
    concurrency,
    memory: new MemoryBudget(),
    mayClaim: memoryWatch.mayClaim,
    suspects: new Suspects(),
    maxAttempts,
    recordBytes,
    log,
  });
  observeWorker(db, consumer, memoryWatch);

  const app = createServer();
  if (config.push !== undefined) await acceptPushes(app, config.push, consumer, db, log);
  registerHealth(app, () => checkDatabase(db));
  const address = await app.listen({ host: config.host, port: config.port });
  await sleep(probeMs);
  const subscriptions = config.push === undefined ? pullWakeups(db, pubsub, concurrency, consumer, log) : [];
  agent.open?.();

  return {
    address,
    drain: async () => {
      const closed = subscriptions.map((subscription) => subscription.close());
      // Leases are released even if a subscription fails to close.
      await Promise.allSettled([...closed, consumer.drain(drainMs * turnDrainShare)]);
      await agent.close?.();
      await Promise.all([heartbeat.close(), loops.close(), outbox.idle(), app.close()]);
      await Promise.all([turnPublisher.close(), scheduler.close(), telemetry.close()]);
      await Promise.all([pool.end(), secrets.close()]);
    },
  };
}

/** Loads token verification, which only push mode needs. */
async function acceptPushes(
  app: FastifyInstance,
  push: PushAuthConfig,
  consumer: TurnConsumer,
  db: Db,
  log: Logger,
): Promise<void> {
  const { registerPush } = await import('./intake/push.ts');
  const { auth, account, deadlineMs } = push;
  const onDeadLetter = createDeadLetterHandler(db, log);
  registerPush(app, { auth, account, deadlineMs, consumer, onDeadLetter, log });
}

function observeWorker(db: Db, consumer: TurnConsumer, memory: MemoryWatch): void {
  observeGauges([...backlogGauges, 'turnsRunning', 'turnsDesired', 'memoryUsed'], async () => {
    const backlog = await readBacklog(db);
    const { turnsWaiting: waiting, turnsLeased: running } = backlog;
    const turnsDesired = desiredConcurrency({ running, waiting, meanSeconds: consumer.meanSeconds });
    return { ...backlog, turnsRunning: consumer.running, turnsDesired, memoryUsed: memory.usedShare };
  });
}
