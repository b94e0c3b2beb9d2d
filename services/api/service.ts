/** Builds the api service from its configuration, starts it, and drains it. */
import { loadDefinition } from '#shared/agent/load-definition.ts';
import { createEncryptor, requireEncryptionKeys } from '#shared/crypto/encryption.ts';
import { requireGeminiSecrets } from '#shared/crypto/gemini-secrets.ts';
import { requireSigningKeys } from '#shared/crypto/signing-keys.ts';
import { checkCapacity } from '#shared/db/client/capacity.ts';
import { createEncryptionCheck } from '#shared/db/webhooks/encryption-check.ts';
import { openDatabase } from '#shared/db/client/pool.ts';
import { openContents } from '#shared/db/contents/open.ts';
import { createFeed } from '#shared/db/events/feed.ts';
import { createTimelineFollower } from '#shared/db/views/timeline-follower.ts';
import { createFollower } from '#shared/db/events/follower.ts';
import { eventsChannel } from '#shared/db/events/fan-out.ts';
import { createEventHints } from '#shared/db/events/hints.ts';
import { createOwnerLimits } from '#shared/db/owners/limits.ts';
import { createUsageRecorder } from '#shared/db/owners/usage-recorder.ts';
import { bringPollsForward } from '#shared/db/models/polls.ts';
import { createUsageReader } from '#shared/db/owners/usage.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { createVersionReader } from '#shared/db/tasks/read.ts';
import { createStatsReader } from '#shared/db/tasks/stats.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createTurnPublisher } from '#shared/gcp/pubsub.ts';
import type { SecretVariables } from '#shared/gcp/secrets.ts';
import { createOutboxPublisher } from '#shared/outbox/publisher.ts';
import { createAuditLog } from '#shared/runtime/audit.ts';
import type { ApiConfig } from '#shared/runtime/config/api.ts';
import { shareReadyCheck } from '#shared/runtime/health.ts';
import type { Service } from '#shared/runtime/lifecycle.ts';
import { listen } from '#shared/runtime/listen.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { startTelemetry } from '#shared/runtime/telemetry.ts';
import { requireApiKeys } from '#shared/runtime/config/api-keys.ts';
import { ApiKeys } from './auth/api-keys.ts';
import { createAuthenticate, logAuthWarnings } from './auth/authenticate.ts';
import { createCards } from './card/cards.ts';
import { startCardRefresh } from './card/refresh.ts';
import { createConsoleReader } from './console/files.ts';
import { createDefinitionStore } from './definition-store.ts';
import { restrictToCapabilities } from './handler/capabilities.ts';
import { auditSends } from './handler/audit.ts';
import { guardOperations } from './handler/scopes.ts';
import { createRequestHandler } from './handler/handler.ts';
import { createOperations } from './handler/operations.ts';
import { PageTokens } from './handler/page-token.ts';
import { createPushConfigs } from './handler/push-configs.ts';
import { createReceiverCheck } from './extensions/webhooks/receiver-check.ts';
import { createSend } from './handler/send-message.ts';
import { createAdmission } from './limits/admission.ts';
import { ByteRates } from '#shared/runtime/byte-rates.ts';
import { AuthFailures } from './limits/auth-failures.ts';
import { createOwnerQuotas } from './limits/owner-quotas.ts';
import { largeWork } from '#shared/runtime/large-work.ts';
import { OpenStreams } from './limits/open-streams.ts';
import { Receiving } from './limits/receiving.ts';
import { startRefusalLog } from './limits/refusals.ts';
import { TokenBuckets } from './limits/token-buckets.ts';
import { createApiServer } from './server.ts';

export async function startApi(config: ApiConfig, secrets: SecretVariables, log: Logger): Promise<Service> {
  const { auth, limits, idempotencyWindowSeconds, wakeupGraceSeconds, webhookGuard, bodyLimitBytes } = config;
  const { webhookRequestsPerMinute } = limits;
  const telemetry = await startTelemetry('api', config.telemetry, log);
  const { db, pool, checkReady } = openDatabase({
    database: config.database,
    applicationName: 'longhaul-api',
    log,
  });
  const checkContents = openContents(db, config.contents);
  void checkCapacity(db, config.database, log);
  const definition = await loadDefinition(config);
  const storeDefinition = createDefinitionStore(db, definition);
  storeDefinition().catch((error: unknown) =>
    log.warn({ error: errorMessage(error) }, 'agent definition not stored yet'),
  );

  const publisher = createTurnPublisher(config.pubsub);
  const scheduler = createDeliveryScheduler(config.cloudTasks);
  const outbox = createOutboxPublisher({
    db,
    publishTurns: publisher.publishTurns,
    scheduleDeliveries: scheduler.scheduleDeliveries,
    log,
  });
  const hints = createEventHints(config.database, eventsChannel, log);
  const follower = createFollower({ db, hints, log });
  const feed = createFeed({ db, hints, log });
  const timelines = createTimelineFollower(db);
  const encryptor = createEncryptor(config.encryptionKeys);
  const pageTokens = new PageTokens(config.encryptionKeys);
  secrets.watch('ENCRYPTION_KEYS', log, (text) => {
    const keys = requireEncryptionKeys(text);
    encryptor.useKeys(keys);
    pageTokens.useKeys(keys);
  });
  const signing = { keys: config.webhookKeys };
  secrets.watch('WEBHOOK_SIGNING_KEYS', log, (text) => (signing.keys = requireSigningKeys(text)));

  const geminiWebhooks = { ...config.geminiWebhooks };
  secrets.watch('GEMINI_WEBHOOK_SECRETS', log, (text) => {
    geminiWebhooks.secrets = requireGeminiSecrets(text);
  });

  const { cards, mediaTypes, cardSigner, refresh } = await createCards(config, definition);
  const cardRefresh = startCardRefresh({ db, definition, refresh, log });
  const { card } = cards;
  logAuthWarnings(auth, log);
  const apiKeys = auth.apiKeys && new ApiKeys(auth.apiKeys);
  if (apiKeys) secrets.watch('API_KEYS', log, (text) => apiKeys.use(requireApiKeys(text)));
  const audit = createAuditLog('api', config.auditLog, (error) =>
    log.error({ error: errorMessage(error) }, 'audit entry not written'),
  );
  const refusals = startRefusalLog(log);
  const failures = new AuthFailures({ perMinute: limits.authFailuresPerMinute, audit, log });
  const byteRates = limits.bytesPerSecond === 0 ? undefined : new ByteRates(limits.bytesPerSecond);
  const admitCaller = createAdmission({
    authenticate: createAuthenticate(auth, { apiKeys, isLocal: config.localHosts !== undefined }),
    failures,
    buckets: limits.requestsPerMinute === 0 ? undefined : new TokenBuckets(limits.requestsPerMinute),
    byteRates,
    log,
  });
  const receiving = new Receiving();
  const connections = {
    all: limits.connections,
    perAddress: limits.trustedProxies === 0 ? limits.connectionsPerAddress : 0,
  };
  const streams = new OpenStreams({ all: limits.streams, perCaller: limits.streamsPerCaller });
  const getLimits = createOwnerLimits(db, config.ownerLimits);
  const recorder = createUsageRecorder(db);
  const quotas = createOwnerQuotas({ getLimits, readUsage: createUsageReader(db), recorder });
  const pushConfigs = createPushConfigs({
    db,
    outbox,
    encryptor,
    webhookGuard,
    wakeupGraceSeconds,
    webhookRequestsPerMinute,
    quotas,
    verifyReceiver: config.webhookChallenge ? createReceiverCheck({ webhookGuard, log }) : undefined,
  });
  const send = auditSends(
    audit,
    createSend({
      db,
      accept: createAccept(db, { idempotencyWindowSeconds, wakeupGraceSeconds }),
      outbox,
      storeDefinition,
      taskSeconds: definition.limits.taskSeconds,
      serviceTiers: definition.model.taskServiceTiers ?? [],
      mediaTypes,
      idempotencyWindowSeconds,
      wakeupGraceSeconds,
      pushConfigs,
      quotas,
      largeWork,
      messageLimits: limits.message,
      maxMessageBytes: bodyLimitBytes,
    }),
  );
  const operations = createRequestHandler({
    db,
    cards,
    send,
    follower,
    outbox,
    pushConfigs,
    pageTokens,
    streams,
    largeWork,
    sendWaitMs: config.sendWaitMs,
    wakeupGraceSeconds,
    log,
  });
  const handler = guardOperations(restrictToCapabilities(operations, card.capabilities), audit);
  const readVersion = createVersionReader(db);
  const checkKeys = createEncryptionCheck(db, encryptor, config.encryptionKeys[0].id);
  const ready = shareReadyCheck(async () => {
    await storeDefinition();
    await checkReady();
    await checkKeys();
    await checkContents();
  });
  await checkContents().catch(() => undefined);
  /** Parts of both servers. */
  const serving = {
    handler,
    card,
    admitCaller,
    receiving,
    byteRates,
    largeWork,
    connections,
    trustedProxies: limits.trustedProxies,
    ready,
    bodyLimitBytes,
    audit,
    log,
  };

  const app = config.http
    ? await createApiServer({
        ...serving,
        cardSigner,
        getCard: () => cards.card,
        conditional: { readVersion, follower, streams },
        mcp: config.mcp
          ? {
              operations: createOperations(handler),
              getFullCard: () => cards.extendedCard ?? cards.card,
              auth,
              readVersion,
              follower,
              streams,
              sendWaitMs: config.sendWaitMs,
              retentionSeconds: config.retentionSeconds,
            }
          : undefined,
        corsOrigins: config.corsOrigins,
        localHosts: config.localHosts,
        publicUrl: config.publicUrl,
        drainMs: config.drainMs,
        webhooks: {
          db,
          outbox,
          encryptor,
          getLimits,
          pageTokens,
          wakeupGraceSeconds,
          webhookRequestsPerMinute,
          signing,
          log,
        },
        tasks: {
          db,
          feed,
          timelines,
          readStats: createStatsReader(db),
          streams,
          pageTokens,
          send,
          outbox,
          encryptor,
          wakeupGraceSeconds,
          log,
        },
        ops: { db, ownerLimits: config.ownerLimits, log },
        schedules: {
          db,
          outbox,
          encryptor,
          getLimits,
          quotas,
          pushConfigs,
          mediaTypes,
          messageLimits: limits.message,
          storeDefinition,
          wakeupGraceSeconds,
          log,
        },
        geminiWebhooks: { settings: geminiWebhooks },
        callbacks: { db, outbox, wakeupGraceSeconds, failures, recorder, log },
        readConsole: config.console ? createConsoleReader() : undefined,
        traceUrl: config.traceUrl,
      })
    : undefined;
  const { host, port, grpcPort } = config;
  const grpc =
    grpcPort === undefined
      ? undefined
      : await (await import('./bindings/grpc/grpc.ts')).listenGrpc({ ...serving, host, port: grpcPort });
  const address = app && (await listen(app, { host, port }));
  bringPollsForward(db).catch((error: unknown) =>
    log.debug({ error: errorMessage(error) }, 'polls of model calls not brought forward'),
  );
  // Loads the Pub/Sub client before the first wake-up needs it, but after pending readiness probes are
  // answered.
  setTimeout(() => publisher.open(), 100).unref();

  return {
    address: address ?? `grpc://${host}:${grpc?.port}`,
    drain: async () => {
      cardRefresh.close();
      feed.close();
      timelines.close();
      // Closing the follower ends streams and waits; other requests end by themselves.
      await Promise.all([follower.close(), hints.close(), app?.close(), grpc?.close()]);
      failures.flush();
      refusals.flush();
      await Promise.all([outbox.idle(), recorder.close()]);
      await Promise.all([publisher.close(), scheduler.close(), telemetry.close()]);
      await Promise.all([pool.end(), secrets.close()]);
    },
  };
}
