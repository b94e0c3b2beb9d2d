/**
 * Creates in the emulators what the deployment scripts create on Google Cloud: the topics, the subscriptions and the
 * queues. Uses plain gRPC with the definitions of the emulators, because the client libraries take a second to load.
 */
import { Client, credentials, status, type MethodDefinition, type ServiceError } from '@grpc/grpc-js';
import { readCloudTasksQueues } from '#shared/runtime/config/common.ts';
import { EnvReader, type Environment } from '#shared/runtime/config/env-reader.ts';
import { cloudTasksService, toCreateQueueRequest } from '../cloud-tasks-emulator/wire.ts';
import { loadServices, type SubscriptionSettings, type WireTopic } from '../pubsub-emulator/wire.ts';

const callMs = 10_000;

type Method<Request> = Pick<
  MethodDefinition<Request, unknown>,
  'path' | 'requestSerialize' | 'responseDeserialize'
>;

/** Calls a method that creates something. Resolves if that exists already, and does not change it then. */
type Create = <Request>(method: Method<Request>, request: Request) => Promise<void>;

/**
 * Creates what does not exist.
 *
 * @param variables those of the services, which name the emulators, the topics, the subscriptions and the queue
 * @throws {ConfigError} if a variable is missing or invalid
 * @throws {ServiceError} if an emulator refuses a call, or does not answer within 10 s
 */
export async function createResources(variables: Environment): Promise<void> {
  const env = new EnvReader(variables);
  const project = env.string('GOOGLE_CLOUD_PROJECT');
  const pubsub = {
    host: env.string('PUBSUB_EMULATOR_HOST'),
    topic: `projects/${project}/topics/${env.string('PUBSUB_TOPIC', 'longhaul-turns')}`,
    subscription: `projects/${project}/subscriptions/${env.string('PUBSUB_SUBSCRIPTION', 'longhaul-turns-worker')}`,
    deadTopic: `projects/${project}/topics/${env.string('PUBSUB_DEAD_LETTER_TOPIC', 'longhaul-turns-dead')}`,
    deadSubscription: `projects/${project}/subscriptions/${env.string('PUBSUB_DEAD_LETTER_SUBSCRIPTION', 'longhaul-turns-dead-worker')}`,
  };
  const tasks = {
    host: env.string('CLOUD_TASKS_EMULATOR_HOST'),
    parent: `projects/${project}/locations/${env.string('CLOUD_TASKS_LOCATION', 'us-central1')}`,
    queues: readCloudTasksQueues(env),
    rate: env.number('MAX_DISPATCHES_PER_SECOND', 500, { min: 1, max: 1_000_000 }),
  };
  env.check();
  await Promise.all([createTopics(pubsub), createQueues(tasks)]);
}

async function createTopics(names: {
  host: string;
  topic: string;
  subscription: string;
  deadTopic: string;
  deadSubscription: string;
}): Promise<void> {
  const { topic, deadTopic } = names;
  const { publisher, subscriber } = loadServices();
  const createTopic = publisher['CreateTopic'] as Method<Partial<WireTopic>>;
  const createSubscription = subscriber['CreateSubscription'] as Method<Partial<SubscriptionSettings>>;
  await withClient(names.host, async (create) => {
    await Promise.all([topic, deadTopic].map((name) => create(createTopic, { name })));
    await Promise.all([
      create(createSubscription, {
        name: names.subscription,
        topic,
        ackDeadlineSeconds: 60,
        retryPolicy: {
          minimumBackoff: { seconds: 1, nanos: 0 },
          maximumBackoff: { seconds: 60, nanos: 0 },
        },
        deadLetterPolicy: { deadLetterTopic: deadTopic, maxDeliveryAttempts: 100 },
      }),
      create(createSubscription, { name: names.deadSubscription, topic: deadTopic, ackDeadlineSeconds: 60 }),
    ]);
  });
}

async function createQueues(settings: {
  host: string;
  parent: string;
  queues: readonly string[];
  rate: number;
}): Promise<void> {
  const { host, parent, queues, rate } = settings;
  const requests = queues.map((queue) =>
    toCreateQueueRequest(parent, {
      name: `${parent}/queues/${queue}`,
      rateLimits: { maxDispatchesPerSecond: rate, maxConcurrentDispatches: 1000 },
      // The dispatcher schedules webhook retries itself. These retries only cover its restarts.
      retryConfig: { maxAttempts: 100, minBackoff: { nanos: 100_000_000 }, maxBackoff: { seconds: 10 } },
    }),
  );
  await withClient(host, async (create) => {
    await Promise.all(requests.map((request) => create(cloudTasksService.CreateQueue, request)));
  });
}

async function withClient(host: string, run: (create: Create) => Promise<void>): Promise<void> {
  const client = new Client(host, credentials.createInsecure());
  const create: Create = ({ path, requestSerialize, responseDeserialize }, request) =>
    new Promise((resolve, reject) => {
      const done = (error: ServiceError | null): void => {
        if (error === null || error.code === status.ALREADY_EXISTS) resolve();
        else reject(error);
      };
      const options = { deadline: Date.now() + callMs };
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, options, done);
    });
  try {
    await run(create);
  } finally {
    client.close();
  }
}
