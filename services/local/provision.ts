/**
 * Creates the topics, subscriptions and the queue that the deployment scripts create on Google Cloud.
 * Existing ones are not changed. Runs as a separate process, because the client libraries are slow to load
 * and the stack starts other parts meanwhile.
 */
import { PubSub } from '@google-cloud/pubsub';
import { CloudTasksClient } from '@google-cloud/tasks';
import { credentials, status } from '@grpc/grpc-js';
import { EnvReader } from '#shared/runtime/config/env-reader.ts';
import { createLogger } from '#shared/runtime/log.ts';

const log = createLogger('provision', process.env['LOG_LEVEL'] ?? 'info');
const env = new EnvReader(process.env);
const project = env.string('GOOGLE_CLOUD_PROJECT');
const tasksHost = env.string('CLOUD_TASKS_EMULATOR_HOST');
const location = env.string('CLOUD_TASKS_LOCATION', 'us-central1');
const queue = env.string('CLOUD_TASKS_QUEUE', 'longhaul-webhooks');
const topic = env.string('PUBSUB_TOPIC', 'longhaul-turns');
const subscription = env.string('PUBSUB_SUBSCRIPTION', 'longhaul-turns-worker');
const deadTopic = env.string('PUBSUB_DEAD_LETTER_TOPIC', 'longhaul-turns-dead');
const deadSubscription = env.string('PUBSUB_DEAD_LETTER_SUBSCRIPTION', 'longhaul-turns-dead-worker');
const rate = env.number('MAX_DISPATCHES_PER_SECOND', 500, { min: 1, max: 1_000_000 });
env.string('PUBSUB_EMULATOR_HOST'); // read by the client library, which would otherwise connect to Google Cloud
env.check();

await Promise.all([provisionPubSub(), provisionCloudTasks()]);
log.info({ topic, subscription, queue }, 'topics, subscriptions and queue created');

async function provisionPubSub(): Promise<void> {
  const pubsub = new PubSub({ projectId: project });
  try {
    await Promise.all([topic, deadTopic].map((name) => ignoreExisting(pubsub.createTopic(name))));
    await Promise.all([
      ignoreExisting(
        pubsub.createSubscription(topic, subscription, {
          ackDeadlineSeconds: 60,
          retryPolicy: { minimumBackoff: { seconds: 1 }, maximumBackoff: { seconds: 60 } },
          deadLetterPolicy: {
            deadLetterTopic: pubsub.topic(deadTopic).name,
            maxDeliveryAttempts: 100,
          },
        }),
      ),
      ignoreExisting(pubsub.createSubscription(deadTopic, deadSubscription, { ackDeadlineSeconds: 60 })),
    ]);
  } finally {
    await pubsub.close();
  }
}

async function provisionCloudTasks(): Promise<void> {
  const { hostname, port } = new URL(`http://${tasksHost}`);
  const client = new CloudTasksClient({
    apiEndpoint: hostname,
    port: Number(port),
    sslCreds: credentials.createInsecure(),
    projectId: project,
  });
  try {
    const parent = client.locationPath(project, location);
    const name = client.queuePath(project, location, queue);
    const rateLimits = { maxDispatchesPerSecond: rate, maxConcurrentDispatches: 1000 };
    // The dispatcher schedules webhook retries itself. These retries only cover its restarts.
    const retryConfig = { maxAttempts: 100, minBackoff: { nanos: 100_000_000 }, maxBackoff: { seconds: 10 } };
    await ignoreExisting(client.createQueue({ parent, queue: { name, rateLimits, retryConfig } }));
  } finally {
    await client.close();
  }
}

async function ignoreExisting(created: Promise<unknown>): Promise<void> {
  try {
    await created;
  } catch (error) {
    if ((error as { code?: unknown }).code !== status.ALREADY_EXISTS) throw error;
  }
}
