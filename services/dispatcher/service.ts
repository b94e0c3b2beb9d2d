/** Builds the dispatcher from its configuration, starts it, and drains it. */
import { createEncryptor, requireEncryptionKeys } from '#shared/crypto/encryption.ts';
import { requireSigningKeys } from '#shared/crypto/signing-keys.ts';
import { checkCapacity } from '#shared/db/client/capacity.ts';
import { openDatabase } from '#shared/db/client/pool.ts';
import { openContents } from '#shared/db/contents/open.ts';
import { deliveriesChannel } from '#shared/db/events/fan-out.ts';
import { createEventHints } from '#shared/db/events/hints.ts';
import { backlogGauges, readBacklog } from '#shared/db/outbox/backlog.ts';
import { createOwnerLimits } from '#shared/db/owners/limits.ts';
import { createEncryptionCheck } from '#shared/db/webhooks/encryption-check.ts';
import { createDeliveryScheduler } from '#shared/gcp/cloud-tasks.ts';
import { createTurnPublisher } from '#shared/gcp/pubsub.ts';
import type { SecretVariables } from '#shared/gcp/secrets.ts';
import { createGuardedAgent } from '#shared/net/guarded-agent.ts';
import { startOutboxLoops } from '#shared/outbox/loops.ts';
import { createOutboxPublisher } from '#shared/outbox/publisher.ts';
import type { DispatcherConfig } from '#shared/runtime/config/dispatcher.ts';
import { observeGauges } from '#shared/runtime/instruments.ts';
import type { Service } from '#shared/runtime/lifecycle.ts';
import { listen } from '#shared/runtime/listen.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { startTelemetry } from '#shared/runtime/telemetry.ts';
import { createHourlyBytes } from './bytes/hourly-bytes.ts';
import { createDeliveries } from './deliver.ts';
import { createDispatcherServer } from './server.ts';

/** When the client of Pub/Sub is loaded, which occupies the process for 150 ms: after what has started the process. */
const loadClientMs = 2_000;

export async function startDispatcher(
  config: DispatcherConfig,
  secrets: SecretVariables,
  log: Logger,
): Promise<Service> {
  const { webhook, webhookGuard, wakeupGraceSeconds, callers, host, port } = config;
  const telemetry = await startTelemetry('dispatcher', config.telemetry, log);
  const { db, pool, checkReady } = openDatabase({
    database: config.database,
    applicationName: 'longhaul-dispatcher',
    log,
  });
  const checkContents = openContents(db, config.contents);
  void checkCapacity(db, config.database, log);
  observeGauges(backlogGauges, () => readBacklog(db));
  const publisher = createTurnPublisher(config.pubsub);
  const scheduler = createDeliveryScheduler(config.cloudTasks);
  const { publishTurns } = publisher;
  const { scheduleDeliveries } = scheduler;
  const outbox = createOutboxPublisher({ db, publishTurns, scheduleDeliveries, log });

  const { allowHosts } = webhookGuard;
  const { timeoutMs } = webhook;
  const agents = {
    pooled: createGuardedAgent({ allowHosts, timeoutMs, connections: webhook.concurrency }),
    fresh: createGuardedAgent({ allowHosts, timeoutMs, keepAlive: false }),
  };
  const encryptor = createEncryptor(config.encryptionKeys);
  secrets.watch('ENCRYPTION_KEYS', log, (text) => encryptor.useKeys(requireEncryptionKeys(text)));
  const signing = { ...config.signing };
  secrets.watch('WEBHOOK_SIGNING_KEYS', log, (text) => (signing.keys = requireSigningKeys(text)));

  const getLimits = createOwnerLimits(db, config.ownerLimits);
  const loops = startOutboxLoops({ db, outbox, config, getLimits, encryptor, log });
  const hourlyBytes = createHourlyBytes({ db, getLimits, log });
  const stop = new AbortController();
  const stopping = stop.signal;
  const deliveries = createDeliveries({
    db,
    outbox,
    encryptor,
    agents,
    hourlyBytes,
    webhook,
    webhookGuard,
    signing,
    wakeupGraceSeconds,
    stopping,
    log,
  });
  const hints = createEventHints(config.database, deliveriesChannel, log);
  hints.listen(() => deliveries.take());
  const checkKeys = createEncryptionCheck(db, encryptor, config.encryptionKeys[0].id);
  const ready = async (): Promise<void> => {
    await checkReady();
    await checkKeys();
    await checkContents();
  };
  await checkContents().catch(() => undefined);
  const server = createDispatcherServer({
    db,
    ready,
    outbox,
    deliver: (request) => deliveries.deliver(request),
    config,
    getLimits,
    encryptor,
    callers,
    log,
  });
  const address = await listen(server, { host, port });
  // The reconciler and the relay publish turns. Loading the client with the first one would delay all webhooks of that moment.
  const loading = setTimeout(() => publisher.open(), loadClientMs).unref();

  return {
    address,
    drain: async () => {
      clearTimeout(loading);
      stop.abort();
      // Attempts in flight end by themselves. An attempt that takes longer than the drain is repeated when
      // its lease expires.
      await Promise.all([server.close(), loops.close(), hints.close(), deliveries.close()]);
      await Promise.all([outbox.idle(), hourlyBytes.close()]);
      await Promise.all([publisher.close(), scheduler.close(), telemetry.close()]);
      await Promise.all([agents.pooled.close(), agents.fresh.close()]);
      await Promise.all([pool.end(), secrets.close()]);
    },
  };
}
