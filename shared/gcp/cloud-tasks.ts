/**
 * Wakes the dispatcher by Cloud Tasks: one task has the queue of one webhook config gone on with, at its time.
 *
 * A name that was used is refused for about an hour, so the name is made of the wakeup: ringing one wakeup again is harmless,
 * and each time that is waited for has a wakeup of its own.
 */
import { createHash } from 'node:crypto';
import type { CloudTasksClient } from '@google-cloud/tasks';
import { context } from '@opentelemetry/api';
import type { DeliveryWakeup } from '../domain/wakeup.ts';
import type { CloudTasksConfig } from '../runtime/config/common.ts';
import { inProducerSpans } from '../runtime/spans.ts';

/** What Cloud Tasks posts to the dispatcher. */
export interface DeliverRequest {
  taskId: string;
  configId: string;
  /** Of the span that asks: in the body, because platforms put their own into the header. */
  traceparent?: string;
}

/** Wakes the dispatcher for a webhook at a time: a task on Cloud Tasks. Resolves when the service has taken it. */
export type ScheduleDelivery = (wakeup: Omit<DeliveryWakeup, 'kind'>) => Promise<void>;

export interface DeliveryScheduler {
  scheduleDelivery: ScheduleDelivery;
  close(): Promise<void>;
}

/** A task must be due within 30 days; what is due later is woken then, and finds that it is early. */
const furthestMs = 30 * 86_400_000 - 60_000;

const callTimeoutMs = 10_000;
const alreadyExists = 6;

export function createDeliveryScheduler(config: CloudTasksConfig): DeliveryScheduler {
  let opening: Promise<CloudTasksClient> | undefined;
  const { project, location, queue, dispatcherUrl, serviceAccount } = config;

  return {
    scheduleDelivery: async (wakeup) => {
      const attributes = { 'messaging.system': 'gcp_cloud_tasks', 'longhaul.task.id': wakeup.taskId };
      const sending = { attributes, parent: context.active(), left: null };
      await inProducerSpans(queue, [sending], ([traceparent = null]) => createTask(wakeup, traceparent));
    },
    close: async () => {
      const client = await opening?.catch(() => undefined);
      await client?.close();
    },
  };

  async function createTask(
    { id, taskId, configId, dueAt }: Parameters<ScheduleDelivery>[0],
    traceparent: string | null,
  ): Promise<void> {
    const client = await (opening ??= openClient(config));
    const parent = client.queuePath(project, location, queue);
    const now = Date.now();
    const dueMs = Math.min(dueAt.getTime(), now + furthestMs);
    const request: DeliverRequest = { taskId, configId, ...(traceparent !== null && { traceparent }) };
    const task = {
      name: `${parent}/tasks/${nameOf(taskId, configId, id)}`,
      ...(dueMs > now && { scheduleTime: timestamp(dueMs) }),
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
      await client.createTask({ parent, task }, { timeout: callTimeoutMs });
    } catch (error) {
      if ((error as { code?: unknown }).code !== alreadyExists) throw error;
    }
  }
}

/** A hash spreads the names: Cloud Tasks slows down on names that follow one another. */
function nameOf(taskId: string, configId: string, wakeupId: string): string {
  return createHash('sha256')
    .update(JSON.stringify([taskId, configId, wakeupId]))
    .digest('hex');
}

function timestamp(ms: number): { seconds: number; nanos: number } {
  // Rounded up: a wakeup must not come before its time.
  const whole = Math.ceil(ms);
  return { seconds: Math.floor(whole / 1000), nanos: (whole % 1000) * 1_000_000 };
}

/** The client is large: it is loaded with the first wakeup, so that services start quickly. */
async function openClient(config: CloudTasksConfig): Promise<CloudTasksClient> {
  const { CloudTasksClient } = await import('@google-cloud/tasks');
  if (config.emulatorHost === undefined) return new CloudTasksClient();
  const { createEmulatorOptions } = await import('./emulator.ts');
  return new CloudTasksClient(createEmulatorOptions(config.emulatorHost));
}
