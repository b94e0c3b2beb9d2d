/** The dispatcher: environment → configuration → dependencies → listen → drain. */
import { startOutboxLoops } from '#shared/outbox/loops.ts';
import { createOutboxPublisher } from '#shared/outbox/publisher.ts';
import { checkCapacity } from '#shared/db/client/capacity.ts';
import { openDatabase } from '#shared/db/client/pool.ts';
import { createEncryptor, requireEncryptionKeys } from '#shared/crypto/encryption.ts';
import { readBacklog, backlogGauges } from '#shared/db/outbox/backlog.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createTurnPublisher } from '#shared/gcp/pubsub.ts';
import { openSecretVariables } from '#shared/gcp/secrets.ts';
import { environment } from '#shared/runtime/config/environment.ts';
import { readDispatcherConfig } from '#shared/runtime/config/dispatcher.ts';
import { armFaultPoint } from '#shared/runtime/fault-points.ts';
import { observeGauges } from '#shared/runtime/instruments.ts';
import { configOrExit, runService, secretsOrExit } from '#shared/runtime/lifecycle.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { startTelemetry } from '#shared/runtime/telemetry.ts';
import { requireSigningKeys } from '#shared/crypto/signing-keys.ts';
import { createApp } from './server.ts';
import { createDeliver } from './deliver.ts';
import { createGuardedAgent } from '#shared/net/guarded-agent.ts';

const secrets = await secretsOrExit(() => openSecretVariables(environment));
const config = configOrExit(() => readDispatcherConfig(secrets.env));
const log = createLogger('dispatcher', config.logLevel, config.telemetry.project);
armFaultPoint(config.faultPoint);

await runService(log, config.drainMs, async () => {
  const telemetry = await startTelemetry('dispatcher', config.telemetry, log);
  const { db, pool } = openDatabase({
    ...config.database,
    applicationName: 'longhaul-dispatcher',
    onError: (error) => log.warn({ error: error.message }, 'an idle database connection failed'),
  });
  void checkCapacity(db, config.database, log);
  observeGauges(backlogGauges, () => readBacklog(db));
  const publisher = createTurnPublisher(config.pubsub);
  const scheduler = createDeliveryScheduler(config.cloudTasks);
  const outbox = createOutboxPublisher({ db, ...publisher, ...scheduler, log });
  const loops = startOutboxLoops({ db, outbox, config, log });

  const agent = createGuardedAgent({ ...config.webhookGuard, timeoutMs: config.webhook.timeoutMs });
  const encryptor = createEncryptor(config.encryptionKeys);
  secrets.watch('ENCRYPTION_KEYS', log, (text) => encryptor.useKeys(requireEncryptionKeys(text)));
  const signing = { ...config.signing };
  secrets.watch('WEBHOOK_SIGNING_KEYS', log, (text) => (signing.keys = requireSigningKeys(text)));
  const stop = new AbortController();
  const stopping = stop.signal;
  const deliver = createDeliver({ ...config, signing, db, outbox, encryptor, agent, stopping, log });
  const app = createApp({ config, callers: config.callers, db, outbox, deliver, log });
  const address = await app.listen({ host: config.host, port: config.port });

  return {
    address,
    drain: async () => {
      stop.abort();
      // Attempts under way end by themselves; one that takes longer than the drain is made again when its lease is over.
      await Promise.all([app.close(), loops.close()]);
      await outbox.idle();
      await Promise.all([publisher.close(), scheduler.close(), agent.close(), telemetry.close()]);
      await Promise.all([pool.end(), secrets.close()]);
    },
  };
});
