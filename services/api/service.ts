/** Builds the api service from its configuration, starts it, and drains it. */
import type { AgentCard } from '@a2a-js/sdk';
import { definitionHash, type AgentDefinition } from '#shared/agent/definition.ts';
import { loadAgentDefinition } from '#shared/agent/load-definition.ts';
import { createEncryptor, requireEncryptionKeys } from '#shared/crypto/encryption.ts';
import { requireSigningKeys } from '#shared/crypto/signing-keys.ts';
import { checkCapacity } from '#shared/db/client/capacity.ts';
import { checkDatabase, openDatabase, type Db } from '#shared/db/client/pool.ts';
import { createFollower } from '#shared/db/events/follower.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { storeAgent } from '#shared/db/tasks/agents.ts';
import { createVersionReader } from '#shared/db/tasks/read.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createTurnPublisher } from '#shared/gcp/pubsub.ts';
import type { SecretVariables } from '#shared/gcp/secrets.ts';
import { createOutboxPublisher } from '#shared/outbox/publisher.ts';
import type { ApiConfig } from '#shared/runtime/config/api.ts';
import type { Service } from '#shared/runtime/lifecycle.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { startTelemetry } from '#shared/runtime/telemetry.ts';
import { createAuthenticate, logAuthWarnings } from './auth/authenticate.ts';
import { createAgentCard, hasExtendedCard } from './card/agent-card.ts';
import { createCardSigner } from './card/signature.ts';
import { restrictToCapabilities } from './handler/capabilities.ts';
import { createRequestHandler } from './handler/handler.ts';
import { PageTokens } from './handler/page-token.ts';
import { createPushConfigs } from './handler/push-configs.ts';
import { createSend } from './handler/send-message.ts';
import { getMediaTypes } from './handler/validate/media-types.ts';
import { createAdmission } from './limits/admission.ts';
import { OpenStreams } from './limits/open-streams.ts';
import { TokenBuckets } from './limits/token-buckets.ts';
import { createApiServer } from './server.ts';

export async function startApi(config: ApiConfig, secrets: SecretVariables, log: Logger): Promise<Service> {
  const { auth, limits, idempotencyWindowSeconds, wakeupGraceSeconds, webhookGuard, bodyLimitBytes } = config;
  const telemetry = await startTelemetry('api', config.telemetry, log);
  const { db, pool } = openDatabase({
    database: config.database,
    applicationName: 'longhaul-api',
    onError: (error) => log.warn({ error: error.message }, 'database connection failed'),
  });
  void checkCapacity(db, config.database, log);
  const definition = await loadAgentDefinition(config.agentFile);
  const storeDefinition = createDefinitionStore(db, definition);
  storeDefinition().catch((error: unknown) =>
    log.warn({ error: errorMessage(error) }, 'agent definition not stored yet'),
  );

  const publisher = createTurnPublisher(config.pubsub);
  const scheduler = createDeliveryScheduler(config.cloudTasks);
  const outbox = createOutboxPublisher({
    db,
    publishTurns: publisher.publishTurns,
    scheduleDelivery: scheduler.scheduleDelivery,
    log,
  });
  const follower = createFollower({ db, database: config.database, log });
  const encryptor = createEncryptor(config.encryptionKeys);
  secrets.watch('ENCRYPTION_KEYS', log, (text) => encryptor.useKeys(requireEncryptionKeys(text)));
  const signing = { keys: config.webhookKeys };
  secrets.watch('WEBHOOK_SIGNING_KEYS', log, (text) => (signing.keys = requireSigningKeys(text)));

  const { card, extendedCard, cardKey } = await createCards(config, definition);
  logAuthWarnings(auth, log);
  const buckets = limits.requestsPerMinute === 0 ? undefined : new TokenBuckets(limits.requestsPerMinute);
  const admitCaller = createAdmission(createAuthenticate(auth), buckets, log);
  const streams = new OpenStreams({ all: limits.streams, perCaller: limits.streamsPerCaller });
  const pushConfigs = createPushConfigs({ db, outbox, encryptor, webhookGuard, wakeupGraceSeconds });
  const send = createSend({
    db,
    accept: createAccept(db, { idempotencyWindowSeconds, wakeupGraceSeconds }),
    outbox,
    storeDefinition,
    taskSeconds: definition.limits.taskSeconds,
    mediaTypes: getMediaTypes(definition),
    idempotencyWindowSeconds,
    wakeupGraceSeconds,
    pushConfigs,
    messageLimits: limits.message,
    maxMessageBytes: bodyLimitBytes,
  });
  const operations = createRequestHandler({
    db,
    card,
    extendedCard,
    send,
    follower,
    outbox,
    pushConfigs,
    pageTokens: new PageTokens(config.encryptionKeys[0].key),
    streams,
    sendWaitMs: config.sendWaitMs,
    wakeupGraceSeconds,
    log,
  });
  const handler = restrictToCapabilities(operations, card.capabilities);
  const ready = async (): Promise<void> => {
    await storeDefinition();
    await checkDatabase(db);
  };

  const app = config.http
    ? await createApiServer({
        handler,
        card,
        cardKey,
        admitCaller,
        conditional: { readVersion: createVersionReader(db), follower, streams },
        trustedProxies: limits.trustedProxies,
        corsOrigins: config.corsOrigins,
        publicUrl: config.publicUrl,
        drainMs: config.drainMs,
        ready,
        bodyLimitBytes,
        webhooks: { db, outbox, encryptor, wakeupGraceSeconds, signing, log },
        log,
      })
    : undefined;
  const { host, port, grpcPort } = config;
  const grpc =
    grpcPort === undefined
      ? undefined
      : await (
          await import('./bindings/grpc/grpc.ts')
        ).listenGrpc({ handler, card, admitCaller, ready, host, port: grpcPort, bodyLimitBytes, log });
  const address = await app?.listen({ host, port });
  // Loads the Pub/Sub client before the first wake-up needs it, but after pending readiness probes are
  // answered.
  setTimeout(() => publisher.open(), 100).unref();

  return {
    address: address ?? `grpc://${host}:${grpc?.port}`,
    drain: async () => {
      // Closing the follower ends streams and waits; other requests end by themselves.
      await Promise.all([follower.close(), app?.close(), grpc?.close()]);
      await outbox.idle();
      await Promise.all([publisher.close(), scheduler.close(), telemetry.close()]);
      await Promise.all([pool.end(), secrets.close()]);
    },
  };
}

async function createCards(
  { auth, protocol, publicUrl, grpcPublicTarget, cardSigningKey }: ApiConfig,
  definition: AgentDefinition,
): Promise<{
  card: AgentCard;
  extendedCard: AgentCard | undefined;
  cardKey: Awaited<ReturnType<typeof createCardSigner>>['publicKey'];
}> {
  const signer = await createCardSigner(cardSigningKey, publicUrl);
  const create = (extended: boolean): Promise<AgentCard> =>
    signer.sign(createAgentCard(definition, { publicUrl, grpcPublicTarget, auth, protocol, extended }));
  return {
    card: await create(false),
    extendedCard: hasExtendedCard(definition, auth) ? await create(true) : undefined,
    cardKey: signer.publicKey,
  };
}

/**
 * Returns a function that stores the definition for new tasks under its hash and resolves to the hash. A
 * failure is not cached: if the database is unavailable at the start, the next call tries again.
 */
function createDefinitionStore(db: Db, definition: AgentDefinition): () => Promise<string> {
  const hash = definitionHash(definition);
  let stored: Promise<string> | undefined;
  return () =>
    (stored ??= storeAgent(db, hash, definition as JsonObject).then(
      () => hash,
      (error: unknown) => {
        stored = undefined;
        throw error;
      },
    ));
}
