/** The front door: environment → configuration → dependencies → listen → drain. */
import { definitionHash } from '#shared/agent/definition.ts';
import { loadAgentDefinition } from '#shared/agent/load-definition.ts';
import { createRinger } from '#shared/bells/ringer.ts';
import { acceptTasks } from '#shared/db/accept.ts';
import { openDatabase } from '#shared/db/database.ts';
import { createFollower } from '#shared/db/follower.ts';
import { createSealer } from '#shared/db/seal.ts';
import { storeAgent } from '#shared/db/tasks.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createTurnPublisher } from '#shared/gcp/pubsub.ts';
import { readApiConfig } from '#shared/runtime/config.ts';
import { checkDatabase } from '#shared/db/check.ts';
import { armFaultPoint } from '#shared/runtime/fault-points.ts';
import { configOrExit, runService } from '#shared/runtime/lifecycle.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { createAgentCard } from './agent-card.ts';
import { createApp } from './app.ts';
import { listenGrpc } from './grpc.ts';
import { createRequestHandler } from './handler.ts';
import { PageTokens } from './page-token.ts';
import { createPushConfigs } from './push-config.ts';
import { createSend } from './send-message.ts';

const config = configOrExit(() => readApiConfig());
const log = createLogger('api', config.logLevel);
armFaultPoint(config.faultPoint);

await runService(log, config.drainMs, async () => {
  const { db, pool } = openDatabase({
    ...config.database,
    applicationName: 'longhaul-api',
    onError: (error) => log.warn({ error: error.message }, 'a database connection failed'),
  });
  const definition = await loadAgentDefinition(config.agentFile);
  const agentHash = definitionHash(definition);
  await storeAgent(db, agentHash, definition as JsonObject);

  const publisher = createTurnPublisher(config.pubsub);
  const scheduler = createDeliveryScheduler(config.cloudTasks);
  const ringer = createRinger({ db, ...publisher, ...scheduler, log });
  const follower = createFollower({ db, databaseUrl: config.database.url, log });
  const pushConfigs = createPushConfigs({
    ...config,
    db,
    ringer,
    sealer: createSealer(config.encryptionKeys),
  });
  const card = createAgentCard(definition, config);
  const send = createSend({ ...config, db, ringer, agentHash, pushConfigs, accept: acceptTasks(db, config) });
  const pageTokens = new PageTokens(config.encryptionKeys[0].key);
  const handler = createRequestHandler({
    ...config,
    db,
    card,
    send,
    follower,
    ringer,
    pushConfigs,
    pageTokens,
    log,
  });
  const front = { ...config, handler, card, ready: () => checkDatabase(db), log };
  const app = config.http ? createApp(front) : undefined;
  const grpc =
    config.grpcPort === undefined ? undefined : await listenGrpc({ ...front, port: config.grpcPort });
  const address = await app?.listen({ host: config.host, port: config.port });

  return {
    address: address ?? `grpc://${config.host}:${grpc?.port}`,
    drain: async () => {
      await follower.close();
      await Promise.all([app?.close(), grpc?.close()]);
      await ringer.idle();
      await Promise.all([publisher.close(), scheduler.close()]);
      await pool.end();
    },
  };
});
