/**
 * Wakes the dispatcher through Cloud Tasks. Each task is due at a given time and makes the dispatcher process
 * one webhook config's delivery queue.
 *
 * Cloud Tasks rejects a task name for about an hour after its use. The name is derived from the wake-up, so
 * publishing one wake-up twice is harmless. Each scheduled time has its own wake-up.
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
  taskId: string;
  configId: string;
  /** Context of the publishing span. It is part of the body, because platforms overwrite the header. */
  traceparent?: string;
}

/** Creates a Cloud Task that wakes the dispatcher at `dueAt`. Resolves when Cloud Tasks has accepted it. */
export type ScheduleDelivery = (wakeup: Omit<DeliveryWakeup, 'kind'>) => Promise<void>;

export interface DeliveryScheduler {
  scheduleDelivery: ScheduleDelivery;
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
  const { project, location, queue, dispatcherUrl, serviceAccount } = config;

  return {
    scheduleDelivery: async (wakeup) => {
      const attributes = { 'messaging.system': 'gcp_cloud_tasks', 'longhaul.task.id': wakeup.taskId };
      const message = { attributes, parent: context.active(), storedTraceparent: null };
      await inProducerSpans(queue, [message], ([traceparent = null]) => createTask(wakeup, traceparent));
    },
    close: () => clients.close(),
  };

  async function createTask(
    { id, taskId, configId, dueAt }: Parameters<ScheduleDelivery>[0],
    traceparent: string | null,
  ): Promise<void> {
    const parent = `projects/${project}/locations/${location}/queues/${queue}`;
    const now = databaseNow();
    const dueMs = Math.min(dueAt.getTime(), now + maxDelayMs);
    const request: DeliverRequest = { taskId, configId, ...(traceparent !== null && { traceparent }) };
    const task = {
      name: `${parent}/tasks/${createTaskName(taskId, configId, id)}`,
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

/** A hash spreads the names: Cloud Tasks is slower with sequential names. */
function createTaskName(taskId: string, configId: string, wakeupId: string): string {
  return createHash('sha256')
    .update(JSON.stringify([taskId, configId, wakeupId]))
    .digest('hex');
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
