/** The front door: environment → configuration → dependencies → listen → drain. */
import { loadAgentDefinition } from '#shared/agent/load-definition.ts';
import { createOutboxPublisher } from '#shared/outbox/publisher.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { checkCapacity } from '#shared/db/client/capacity.ts';
import { checkDatabase, openDatabase } from '#shared/db/client/pool.ts';
import { createFollower } from '#shared/db/events/follower.ts';
import { createEncryptor, requireEncryptionKeys } from '#shared/crypto/encryption.ts';
import { createVersionReader } from '#shared/db/tasks/read.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createTurnPublisher } from '#shared/gcp/pubsub.ts';
import { openSecretVariables } from '#shared/gcp/secrets.ts';
import { environment } from '#shared/runtime/config/environment.ts';
import { readApiConfig } from '#shared/runtime/config/api.ts';
import { armFaultPoint } from '#shared/runtime/fault-points.ts';
import { configOrExit, runService, secretsOrExit } from '#shared/runtime/lifecycle.ts';
import { createLogger, errorMessage } from '#shared/runtime/log.ts';
import { startTelemetry } from '#shared/runtime/telemetry.ts';
import { requireSigningKeys } from '#shared/crypto/signing-keys.ts';
import { createAdmission } from './limits/admission.ts';
import { createAgentCard, hasExtendedCard } from './card/agent-card.ts';
import { createApp } from './server.ts';
import { createAuthenticate, warnOfOpenAccess } from './auth/authenticate.ts';
import { withinCapabilities } from './handler/capabilities.ts';
import { createCardSigner } from './card/signature.ts';
import { createRequestHandler } from './handler/handler.ts';
import { measuredSend } from './handler/measured-send.ts';
import { OpenStreams } from './limits/open-streams.ts';
import { TokenBuckets } from './limits/token-buckets.ts';
import { getMediaTypes } from './handler/validate/media-types.ts';
import { PageTokens } from './handler/page-token.ts';
import { createPushConfigs } from './handler/push-configs.ts';
import { createSend } from './handler/send-message.ts';
import { createStoredAgent } from './handler/stored-agent.ts';

const secrets = await secretsOrExit(() => openSecretVariables(environment));
const config = configOrExit(() => readApiConfig(secrets.env));
const log = createLogger('api', config.logLevel, config.telemetry.project);
armFaultPoint(config.faultPoint);

await runService(log, config.drainMs, async () => {
  const telemetry = await startTelemetry('api', config.telemetry, log);
  const { db, pool } = openDatabase({
    ...config.database,
    applicationName: 'longhaul-api',
    onError: (error) => log.warn({ error: error.message }, 'a database connection failed'),
  });
  void checkCapacity(db, config.database, log);
  const definition = await loadAgentDefinition(config.agentFile);
  const agent = createStoredAgent(db, definition);
  agent().catch((error: unknown) => log.warn({ error: errorMessage(error) }, 'the agent is not stored yet'));

  const publisher = createTurnPublisher(config.pubsub);
  const scheduler = createDeliveryScheduler(config.cloudTasks);
  const outbox = createOutboxPublisher({ db, ...publisher, ...scheduler, log });
  const follower = createFollower({ db, database: config.database, log });
  const encryptor = createEncryptor(config.encryptionKeys);
  secrets.watch('ENCRYPTION_KEYS', log, (text) => encryptor.useKeys(requireEncryptionKeys(text)));
  const signing = { keys: config.webhookKeys };
  secrets.watch('WEBHOOK_SIGNING_KEYS', log, (text) => (signing.keys = requireSigningKeys(text)));
  const webhooks = { ...config, db, outbox, encryptor, signing, log };
  const pushConfigs = createPushConfigs(webhooks);
  const signer = await createCardSigner(config.cardSigningKey, config.publicUrl);
  const card = await signer.sign(createAgentCard(definition, config));
  const extendedCard = hasExtendedCard(definition, config.auth)
    ? await signer.sign(createAgentCard(definition, { ...config, extended: true }))
    : undefined;
  const { limits } = config;
  const streams = new OpenStreams({ all: limits.streams, perCaller: limits.streamsPerCaller });
  const buckets = limits.requestsPerMinute === 0 ? undefined : new TokenBuckets(limits.requestsPerMinute);
  const admitCaller = createAdmission(createAuthenticate(config.auth), buckets, log);
  warnOfOpenAccess(config.auth, log);
  const { taskSeconds } = definition.limits;
  const accept = createAccept(db, config);
  const send = measuredSend(
    createSend({
      ...config,
      taskSeconds,
      db,
      outbox,
      agent,
      mediaTypes: getMediaTypes(definition),
      pushConfigs,
      accept,
    }),
  );
  const pageTokens = new PageTokens(config.encryptionKeys[0].key);
  const operations = createRequestHandler({
    ...config,
    db,
    card,
    extendedCard,
    streams,
    send,
    follower,
    outbox,
    pushConfigs,
    pageTokens,
    log,
  });
  const front = {
    ...config,
    handler: withinCapabilities(operations, card.capabilities),
    webhooks,
    card,
    cardKey: signer.publicKey,
    admitCaller,
    conditional: { readVersion: createVersionReader(db), follower, streams },
    ready: async () => {
      await agent();
      await checkDatabase(db);
    },
    log,
  };
  const app = config.http ? await createApp(front) : undefined;
  const grpc =
    config.grpcPort === undefined
      ? undefined
      : await (await import('./bindings/grpc/grpc.ts')).listenGrpc({ ...front, port: config.grpcPort });
  const address = await app?.listen({ host: config.host, port: config.port });
  // Who waited for the start is answered first; the wakeup of the first task then finds its client loaded.
  setTimeout(() => publisher.open(), 100).unref();

  return {
    address: address ?? `grpc://${config.host}:${grpc?.port}`,
    drain: async () => {
      // With the follower, streams and waits end; the other requests end by themselves.
      await Promise.all([follower.close(), app?.close(), grpc?.close()]);
      await outbox.idle();
      await Promise.all([publisher.close(), scheduler.close(), telemetry.close()]);
      await Promise.all([pool.end(), secrets.close()]);
    },
  };
});
