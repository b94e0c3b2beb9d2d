/**
 * Builds the worker, starts it and drains it:
 *
 *   Pub/Sub ──▶ intake (pull or push) ──▶ claim ──▶ turn ──▶ agent
 *
 * Draining releases all leases, so that other workers can continue the turns at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { findDefinition, type AgentSource } from '#shared/agent/load-definition.ts';
import { recordCallWait } from '#shared/db/calls/record.ts';
import { checkCapacity } from '#shared/db/client/capacity.ts';
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import { openContents, untilReadable } from '#shared/db/contents/open.ts';
import { findEvent } from '#shared/db/events/read.ts';
import { createSpendReader } from '#shared/db/models/ledger.ts';
import { createModelQuotas } from '#shared/db/models/quotas.ts';
import { backlogGauges, readBacklog } from '#shared/db/outbox/backlog.ts';
import { wakeWaitingTurns } from '#shared/db/outbox/wake.ts';
import { createCostCheck } from '#shared/db/owners/cost.ts';
import { createOwnerLimits } from '#shared/db/owners/limits.ts';
import { checkSeconds } from '#shared/db/queue/versions.ts';
import { createUsageRecorder } from '#shared/db/owners/usage-recorder.ts';
import { storeOwnAgent } from '#shared/db/tasks/agents.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { createInputReader } from '#shared/db/turns/input/input.ts';
import { timeOutCallback } from '#shared/db/turns/waits/callbacks.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { desiredConcurrency } from '#shared/domain/concurrency.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createTurnPublisher } from '#shared/gcp/pubsub.ts';
import type { SecretVariables } from '#shared/gcp/secrets.ts';
import { startOutboxLoops } from '#shared/outbox/loops.ts';
import { createOutboxPublisher } from '#shared/outbox/publisher.ts';
import type { PushAuthConfig } from '#shared/runtime/config/callers.ts';
import type { WorkerConfig } from '#shared/runtime/config/worker.ts';
import { registerHealth, shareReadyCheck } from '#shared/runtime/health.ts';
import { observeGauges } from '#shared/runtime/instruments.ts';
import { largeWork } from '#shared/runtime/large-work.ts';
import type { Service } from '#shared/runtime/lifecycle.ts';
import { listen } from '#shared/runtime/listen.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { createServer } from '#shared/runtime/server.ts';
import { startTelemetry } from '#shared/runtime/telemetry.ts';
import { startCardReader } from './agent/gateway/card.ts';
import { loadAgent, loadPowers } from './agent/load.ts';
import { createMcpConnections } from './agent/mcp/connections.ts';
import { createToolTasks } from './agent/mcp/tasks/open.ts';
import { createRemoteAgents } from './agent/remote/agents.ts';
import { getVersions } from './agent/version.ts';
import { createCallStores } from './call-stores.ts';
import { watchDrainRequests } from './drain-requests.ts';
import { createIntake, type Intake } from './intake/intake.ts';
import { createPassOn } from './intake/pass-on.ts';
import { createDeadLetterHandler } from './intake/pull.ts';
import { createPushConsumer, type PushConsumerParts } from './intake/push-consumer.ts';
import { startAbandonedCalls } from './turn/calls/abandoned.ts';
import { createTurnCalls } from './turn/calls/open.ts';
import { startPulling } from './intake/versions.ts';
import { createTurnChildren } from './turn/children/open.ts';
import { createTurnFiles } from './turn/output/files.ts';
import { createOutputPace } from './turn/output/pace.ts';
import { createLeaseHeartbeat } from './turn/lease-heartbeat.ts';
import { createHistoryCache } from './turn/history.ts';
import { openLeaseDatabase } from './turn/lease-database.ts';
import { startProcessHeartbeat } from './turn/process-heartbeat.ts';
import { MemoryBudget } from './turn/memory-budget.ts';
import { createMemoryWatch, type MemoryWatch } from './turn/memory-watch.ts';
import { Suspects } from './turn/suspects.ts';

/** Time to answer pending readiness probes before large modules are loaded, which blocks the process. */
const probeMs = 50;

/** The interval at which the worker looks for requests to drain. */
const drainPollMs = 2_000;

/**
 * The share of the drain time that running turns get. The rest is for releasing leases and publishing
 * wake-ups.
 */
const turnDrainShare = 2 / 3;

/** In push mode nothing takes turns from the queue of a version: Pub/Sub tries another instance after this time. */
const pushedWakeSeconds = 5;

export async function startWorker(
  config: WorkerConfig,
  secrets: SecretVariables,
  log: Logger,
): Promise<Service> {
  const { pubsub, leaseSeconds, wakeupGraceSeconds, concurrency, maxAttempts, recordBytes, drainMs } = config;
  const startedAt = performance.now();
  const telemetry = await startTelemetry('worker', config.telemetry, log);
  const { leaseDb, poolSize, close: closeLeaseDb } = openLeaseDatabase(config.database);
  const { db, pool, failedAt, checkReady } = openDatabase({
    database: { ...config.database, poolSize },
    applicationName: 'longhaul-worker',
    log,
  });
  const checkContents = openContents(db, config.contents);
  void checkCapacity(db, config.database, log);
  const spentToday = createSpendReader(db);
  const getOwnerLimits = createOwnerLimits(db, config.ownerLimits);
  const checkCost = createCostCheck(getOwnerLimits, spentToday);
  const recorder = createUsageRecorder(db);
  const turnPublisher = createTurnPublisher(pubsub);
  const scheduler = createDeliveryScheduler(config.cloudTasks);
  const { publishTurns } = turnPublisher;
  const { scheduleDeliveries } = scheduler;
  const outbox = createOutboxPublisher({ db, publishTurns, scheduleDeliveries, log });
  const getSecret = (name: string): string | undefined => secrets.env[name];
  const powers = await loadPowers(config.agentFile, config.earlierAgentFiles);
  const remote = createRemoteAgents(getSecret, powers);
  const mcpConnections = createMcpConnections(getSecret);
  const openToolTasks = createToolTasks(mcpConnections, powers);
  const agent = await loadAgent({
    agentFile: config.agentFile,
    agentModule: config.agentModule,
    powers,
    gemini: config.gemini,
    files: config.files,
    getSecret,
    remote,
    mcpConnections,
    meter: { spentToday, checkCost, quotas: createModelQuotas(db) },
    captureContent: config.telemetry.captureContent,
    calls: createCallStores({ db, outbox, wakeupGraceSeconds, publicUrl: config.publicUrl }),
    wakeTurns: (turns) => {
      wakeWaitingTurns(db, wakeupGraceSeconds, turns)
        .then((wakeups) => outbox.publish(wakeups))
        .catch((error: unknown) => log.debug({ error: errorMessage(error) }, 'waiting turns not woken'));
    },
    log,
  });
  const versions = getVersions(agent);
  const agentVersion = versions.own;
  const loops = startOutboxLoops({ db, outbox, config, getLimits: getOwnerLimits, log });
  const abandonedCalls = startAbandonedCalls({ db, remote, openToolTasks, log });
  const cardReader = startCardReader({ db, definition: await findDefinition(config), remote, log });
  const memoryWatch = createMemoryWatch();
  const processHeartbeat = startProcessHeartbeat({ db: leaseDb ?? db, worker: config.workerName, log });
  const heartbeat = createLeaseHeartbeat({ db: leaseDb ?? db, leaseSeconds, processHeartbeat, log });
  const memory = new MemoryBudget();
  const intake = createIntake({
    db,
    agent,
    claimTurn: createClaim(db, {
      worker: config.workerName,
      leaseSeconds,
      wakeupGraceSeconds,
      maxAttempts,
      // The database may have been away until this worker started.
      databaseFailedAt: () => Math.max(startedAt, failedAt()),
      agentVersions: versions.runs,
    }),
    readInput: createInputReader(db, { recordBytes, cache: createHistoryCache(memory) }),
    write: createTurnWriter(db, { wakeupGraceSeconds, agentVersion }),
    findEvent: (taskId, after, event) => findEvent(db, taskId, after, event),
    timeOutCallback: (lease, step) => timeOutCallback(db, lease, step),
    publicUrl: config.publicUrl,
    openChildren: createTurnChildren({
      db,
      wakeupGraceSeconds,
      agentVersion,
      getOwnerLimits,
      recorder,
      outbox,
      log,
    }),
    openCalls: createTurnCalls(remote, (...wait) => recordCallWait(db, ...wait), openToolTasks),
    openFiles: createTurnFiles(db, { publicUrl: config.publicUrl, recorder, log }),
    openPace: createOutputPace(config.ownerBytesPerSecond, largeWork),
    getOwnerLimits,
    databaseFailedAt: failedAt,
    heartbeat,
    outbox,
    source: pubsub,
    leftWakeSeconds: config.push === undefined ? checkSeconds : pushedWakeSeconds,
    wakeupGraceSeconds,
    concurrency,
    ownerShare: config.ownerShare,
    memory,
    mayClaim: memoryWatch.mayClaim,
    suspects: new Suspects(),
    maxAttempts,
    recordBytes,
    checkCost,
    spentToday,
    recorder,
    log,
  });
  observeWorker(db, intake, memoryWatch);

  const app = createServer();
  if (config.push !== undefined) {
    const passOn = agentVersion === undefined ? undefined : createPassOn(db, agentVersion, log);
    await acceptPushes(app, config.push, { db, intake, outbox, wakeupGraceSeconds, passOn, log });
  }
  const storeDefinition = createDefinitionStore(db, config);
  storeDefinition().catch((error: unknown) =>
    log.warn({ error: errorMessage(error) }, 'agent definition not stored yet'),
  );
  const ready = shareReadyCheck(async () => {
    await storeDefinition();
    await checkReady();
    await checkContents();
  });
  registerHealth(app, ready, log);
  const address = await listen(app, config);
  const drainRequests = watchDrainRequests({
    db,
    worker: config.workerName,
    pollMs: drainPollMs,
    exit: () => process.kill(process.pid, 'SIGTERM'),
    stop: () => void stopIntake(),
    log,
  });
  const closing = new AbortController();
  // With wrong keys of contents, it takes no turns: readiness says why.
  const readable = untilReadable(checkContents, closing.signal);
  await sleep(probeMs);
  let pulling: ReturnType<typeof startPulling> | undefined;
  void readable.then(() => {
    if (config.push !== undefined || closing.signal.aborted) return;
    pulling = startPulling({ db, intake, config, versions, log });
  });
  let closed: Promise<unknown>[] | undefined;
  /** Leases are released even if a subscription fails to close. */
  function stopIntake(finishMs?: number): Promise<unknown> {
    closing.abort();
    closed ??= pulling?.close();
    return Promise.allSettled([intake.drain(finishMs), ...(closed ?? [])]);
  }
  agent.open?.();

  return {
    address,
    drain: async () => {
      drainRequests.close();
      await stopIntake(drainMs * turnDrainShare);
      await agent.close?.();
      await Promise.all([
        heartbeat.close(),
        processHeartbeat.close(),
        loops.close(),
        abandonedCalls.close(),
        cardReader.close(),
        outbox.idle(),
        recorder.close(),
        app.close(),
      ]);
      await Promise.all([turnPublisher.close(), scheduler.close(), telemetry.close()]);
      await Promise.all([pool.end(), closeLeaseDb(), secrets.close()]);
    },
  };
}

/** Returns a function that stores the definition of the worker. A failure is not cached: the next call tries again. */
function createDefinitionStore(db: Db, source: AgentSource): () => Promise<void> {
  let stored: Promise<void> | undefined;
  return () =>
    (stored ??= storeOwnAgent(db, source).catch((error: unknown) => {
      stored = undefined;
      throw error;
    }));
}

/** Loads token verification, which only push mode needs. */
async function acceptPushes(
  app: FastifyInstance,
  push: PushAuthConfig,
  parts: PushConsumerParts,
): Promise<void> {
  const { registerPush } = await import('./intake/push.ts');
  const { auth, account, deadlineMs } = push;
  const { db, log } = parts;
  const onDeadLetter = createDeadLetterHandler(db, log);
  registerPush(app, { auth, account, deadlineMs, runPushed: createPushConsumer(parts), onDeadLetter, log });
}

function observeWorker(db: Db, intake: Intake, memory: MemoryWatch): void {
  observeGauges([...backlogGauges, 'turnsRunning', 'turnsDesired', 'memoryUsed'], async () => {
    const backlog = await readBacklog(db);
    const { turnsWaiting: waiting, turnsLeased: running } = backlog;
    const turnsDesired = desiredConcurrency({ running, waiting, meanSeconds: intake.meanSeconds });
    return { ...backlog, turnsRunning: intake.slots.inUse, turnsDesired, memoryUsed: memory.usedShare };
  });
}
