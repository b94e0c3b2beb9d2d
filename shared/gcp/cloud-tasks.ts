/**
 * Wakes the dispatcher through Cloud Tasks. Each task is due at a given time and makes the dispatcher process the
 * delivery queues of some webhook configs: wake-ups share a task if they are due at about the same time.
 *
 * Cloud Tasks rejects a task name for about an hour after its use. The name is derived from the wake-ups, so publishing the
 * same ones twice is harmless. It also selects one of several queues, so that the rate of one queue is not the limit.
 */
import { createHash } from 'node:crypto';
import type { CloudTasksClient } from '@google-cloud/tasks';
import { context } from '@opentelemetry/api';
import type { DeliveryWakeup } from '../domain/wakeup.ts';
import type { CloudTasksConfig } from '../runtime/config/common.ts';
import { inProducerSpans } from '../runtime/spans.ts';
import { defaultKeepalive, getHandshakeMs, reconnectOptions, type Keepalive } from './keepalive.ts';
import { createReplaceableClient } from './replaceable-client.ts';
import { databaseNow } from '../runtime/clock.ts';

/** The body that Cloud Tasks posts to the dispatcher. */
export interface DeliverRequest {
  configs: { taskId: string; configId: string }[];
  /** Context of the publishing span. It is part of the body, because platforms overwrite the header. */
  traceparent?: string;
}

/** Configs that one Cloud Task wakes. */
export const maxWoken = 100;

/**
 * Creates a Cloud Task that wakes the dispatcher at the `dueAt` of the first wake-up, for at most `maxWoken` of them. Resolves
 * when Cloud Tasks has accepted it.
 */
export type ScheduleDeliveries = (wakeups: readonly Omit<DeliveryWakeup, 'kind'>[]) => Promise<void>;

export interface DeliveryScheduler {
  scheduleDeliveries: ScheduleDeliveries;
  close(): Promise<void>;
}

/** Cloud Tasks allows at most 30 days. A later wake-up fires early, and the dispatcher finds nothing due. */
const maxDelayMs = 30 * 86_400_000 - 60_000;

const callTimeoutMs = 10_000;
const alreadyExists = 6;

export function createDeliveryScheduler(
  config: CloudTasksConfig,
  keepalive: Keepalive = defaultKeepalive,
): DeliveryScheduler {
  const clients = createReplaceableClient<CloudTasksClient>({
    open: () => openClient(config, keepalive),
    getStub: (client) => client.cloudTasksStub,
    handshakeMs: getHandshakeMs(keepalive),
  });
  const { project, location, queues, dispatcherUrl, serviceAccount } = config;

  return {
    scheduleDeliveries: async (wakeups) => {
      const [first] = wakeups;
      if (first === undefined) return;
      const hash = hashWakeups(wakeups);
      const queue = queues[hash.readUInt32BE() % queues.length] ?? '';
      const attributes = {
        'messaging.system': 'gcp_cloud_tasks',
        'messaging.batch.message_count': wakeups.length,
        ...(wakeups.length === 1 && { 'longhaul.task.id': first.taskId }),
      };
      const message = { attributes, parent: context.active(), storedTraceparent: null };
      await inProducerSpans(queue, [message], ([traceparent = null]) =>
        createTask({ queue, name: hash.toString('hex'), wakeups, dueAt: first.dueAt, traceparent }),
      );
    },
    close: () => clients.close(),
  };

  async function createTask(parts: {
    queue: string;
    name: string;
    wakeups: Parameters<ScheduleDeliveries>[0];
    dueAt: Date;
    traceparent: string | null;
  }): Promise<void> {
    const { traceparent } = parts;
    const parent = `projects/${project}/locations/${location}/queues/${parts.queue}`;
    const now = databaseNow();
    const dueMs = Math.min(parts.dueAt.getTime(), now + maxDelayMs);
    const configs = parts.wakeups.map(({ taskId, configId }) => ({ taskId, configId }));
    const request: DeliverRequest = { configs, ...(traceparent !== null && { traceparent }) };
    const task = {
      name: `${parent}/tasks/${parts.name}`,
      ...(dueMs > now && { scheduleTime: toTimestamp(dueMs) }),
      httpRequest: {
        httpMethod: 'POST' as const,
        url: `${dispatcherUrl}/deliver`,
        headers: { 'Content-Type': 'application/json' },
        body: Buffer.from(JSON.stringify(request)),
        ...(serviceAccount !== undefined && {
          oidcToken: { serviceAccountEmail: serviceAccount, audience: dispatcherUrl },
        }),
      },
    };
    try {
      await clients.call((client) => client.createTask({ parent, task }, { timeout: callTimeoutMs }));
    } catch (error) {
      if ((error as { code?: unknown }).code !== alreadyExists) throw error;
    }
  }
}

/** The name of a task. A hash spreads the names: Cloud Tasks is slower with sequential names. */
function hashWakeups(wakeups: Parameters<ScheduleDeliveries>[0]): Buffer {
  const keys = wakeups.map(({ taskId, configId, id }) => JSON.stringify([taskId, configId, id]));
  return createHash('sha256').update(keys.toSorted().join()).digest();
}

function toTimestamp(ms: number): { seconds: number; nanos: number } {
  // Rounded up, so that a task is never early.
  const whole = Math.ceil(ms);
  return { seconds: Math.floor(whole / 1000), nanos: (whole % 1000) * 1_000_000 };
}

/** The client is large. It is loaded with the first wake-up, so that services start quickly. */
async function openClient(config: CloudTasksConfig, keepalive: Keepalive): Promise<CloudTasksClient> {
  const { CloudTasksClient } = await import('@google-cloud/tasks');
  const channel = { ...keepalive, ...reconnectOptions };
  if (config.emulatorHost === undefined) return new CloudTasksClient(channel);
  const { createEmulatorOptions } = await import('./emulator.ts');
  return new CloudTasksClient({ ...channel, ...createEmulatorOptions(config.emulatorHost) });
}
