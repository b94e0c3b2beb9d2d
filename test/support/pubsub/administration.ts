/** The contract for topics and subscriptions as resources: settings, lists and refused requests. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import type { Difference } from './differences.ts';
import { PROJECT, type Kit } from './kit.ts';

interface Refusal {
  /** Completes the sentence "refuses …" or "returns NOT_FOUND for …". */
  what: string;
  call: (kit: Kit, has: { topic: string; subscription: string }) => Promise<unknown>;
  code: status;
  /** A known difference of Google's emulator. It returns `otherwise`, or no error if that is not set. */
  differs?: Difference;
  otherwise?: status;
}

const TOPIC = `${PROJECT}/topics/missing`;
const SUBSCRIPTION = `${PROJECT}/subscriptions/missing`;
const { NOT_FOUND, ALREADY_EXISTS, INVALID_ARGUMENT, FAILED_PRECONDITION, UNIMPLEMENTED, OUT_OF_RANGE } =
  status;

const MISSING: Refusal[] = [
  { what: 'reading a topic', code: NOT_FOUND, call: ({ publisher }) => publisher.getTopic({ topic: TOPIC }) },
  {
    what: 'deleting a topic',
    code: NOT_FOUND,
    call: ({ publisher }) => publisher.deleteTopic({ topic: TOPIC }),
  },
  { what: 'publishing', code: NOT_FOUND, call: (kit) => kit.publish(TOPIC, 'x') },
  { what: 'creating a subscription', code: NOT_FOUND, call: (kit) => kit.createSubscription(TOPIC) },
  {
    what: 'listing the subscriptions of a topic',
    code: NOT_FOUND,
    differs: 'listMissing',
    call: ({ publisher }) => publisher.listTopicSubscriptions({ topic: TOPIC }),
  },
  {
    what: 'a dead-letter topic',
    code: NOT_FOUND,
    call: (kit, { topic }) => kit.createSubscription(topic, { deadLetterPolicy: { deadLetterTopic: TOPIC } }),
  },
  {
    what: 'reading a subscription',
    code: NOT_FOUND,
    call: (kit) => kit.subscriber.getSubscription({ subscription: SUBSCRIPTION }),
  },
  {
    what: 'deleting a subscription',
    code: NOT_FOUND,
    call: (kit) => kit.subscriber.deleteSubscription({ subscription: SUBSCRIPTION }),
  },
  { what: 'pulling', code: NOT_FOUND, call: (kit) => kit.pull(SUBSCRIPTION) },
  { what: 'acknowledging', code: NOT_FOUND, call: (kit) => kit.acknowledge(SUBSCRIPTION, { ackId: 'any' }) },
  {
    what: 'changing a deadline',
    code: NOT_FOUND,
    call: (kit) => kit.setDeadline(SUBSCRIPTION, 10, { ackId: 'any' }),
  },
  { what: 'streaming', code: NOT_FOUND, call: (kit) => readEnding(kit, SUBSCRIPTION) },
];

const REFUSED: Refusal[] = [
  {
    what: 'a topic that exists',
    code: ALREADY_EXISTS,
    call: ({ publisher }, { topic }) => publisher.createTopic({ name: topic }),
  },
  {
    what: 'a subscription that exists',
    code: ALREADY_EXISTS,
    call: ({ subscriber }, { topic, subscription }) =>
      subscriber.createSubscription({ name: subscription, topic }),
  },
  ...[`${PROJECT}/topics/1st`, `${PROJECT}/topics/ab`, `${PROJECT}/topics/google-x`, 'topics/abc'].map(
    (name): Refusal => ({
      what: `the topic name ${name}`,
      code: INVALID_ARGUMENT,
      call: ({ publisher }) => publisher.createTopic({ name }),
    }),
  ),
  refusePublish('an empty message', [{}]),
  refusePublish('a publish without messages', []),
  refusePublish(
    'a publish of 1,001 messages',
    Array.from({ length: 1001 }, () => ({ data: Buffer.from('x') })),
  ),
  refusePublish(
    'a publish of more than 10 MB',
    [{ data: Buffer.alloc(10 * 1024 * 1024 + 1) }],
    'messageSize',
  ),
  refusePublish(
    'an attribute of more than 1,024 bytes',
    [{ attributes: { x: 'v'.repeat(1025) } }],
    'messageSize',
  ),
  refusePublish('a reserved attribute key', [{ attributes: { googx: 'v' } }], 'messageSize'),
  refuseSettings('an ack deadline of 9 seconds', { ackDeadlineSeconds: 9 }, 'ackDeadline'),
  refuseSettings('an ack deadline of 601 seconds', { ackDeadlineSeconds: 601 }),
  refuseSettings('a backoff above 600 seconds', { retryPolicy: { maximumBackoff: { seconds: 601 } } }),
  refuseSettings('a maximum backoff below the minimum', {
    retryPolicy: { minimumBackoff: { seconds: 20 }, maximumBackoff: { seconds: 10 } },
  }),
  refuseSettings('a push endpoint that is not a URL', { pushConfig: { pushEndpoint: 'nowhere' } }),
  {
    what: 'fewer than 5 delivery attempts',
    code: INVALID_ARGUMENT,
    differs: 'attemptsCode',
    otherwise: OUT_OF_RANGE,
    call: (kit, { topic }) =>
      kit.createSubscription(topic, { deadLetterPolicy: { deadLetterTopic: topic, maxDeliveryAttempts: 4 } }),
  },
  {
    what: 'an update without a mask',
    code: INVALID_ARGUMENT,
    call: (kit, { subscription }) =>
      kit.subscriber.updateSubscription({ subscription: { name: subscription } }),
  },
  ...['filter', 'topic', 'nonsense'].map((path): Refusal => ({
    what: `an update of ${path}`,
    code: INVALID_ARGUMENT,
    call: (kit, { subscription }) =>
      kit.subscriber.updateSubscription({
        subscription: { name: subscription },
        updateMask: { paths: [path] },
      }),
  })),
  {
    what: 'an invalid ack id',
    code: INVALID_ARGUMENT,
    call: (kit, { subscription }) => kit.acknowledge(subscription, { ackId: 'garbage' }),
  },
  {
    what: 'an acknowledgement without ack ids',
    code: INVALID_ARGUMENT,
    call: (kit, { subscription }) => kit.acknowledge(subscription),
  },
  {
    what: 'a pull of zero messages',
    code: INVALID_ARGUMENT,
    call: (kit, { subscription }) => kit.pull(subscription, 0),
  },
  {
    what: 'a stream with a deadline of 9 seconds',
    code: INVALID_ARGUMENT,
    call: (kit, { subscription }) => readEnding(kit, subscription, 9),
  },
  {
    what: 'message ordering',
    code: UNIMPLEMENTED,
    differs: 'unsupported',
    call: (kit, { topic }) => kit.createSubscription(topic, { enableMessageOrdering: true }),
  },
  {
    what: 'an ordering key',
    code: UNIMPLEMENTED,
    differs: 'unsupported',
    call: ({ publisher }, { topic }) =>
      publisher.publish({ topic, messages: [{ data: Buffer.from('x'), orderingKey: 'k' }] }),
  },
  {
    what: 'exactly-once delivery',
    code: UNIMPLEMENTED,
    differs: 'unsupported',
    call: (kit, { topic }) => kit.createSubscription(topic, { enableExactlyOnceDelivery: true }),
  },
];

export function testAdministration(kit: () => Kit): void {
  for (const refusal of MISSING) {
    test(`returns NOT_FOUND with the missing name for ${refusal.what}`, async () => {
      const message = await assertRefused(kit(), refusal, await kit().createPair());
      if (!kit().differs('names') && message !== undefined) assert.match(message, /missing/, refusal.what);
    });
  }

  for (const refusal of REFUSED) {
    test(`refuses ${refusal.what}`, async () => {
      await assertRefused(kit(), refusal, await kit().createPair());
    });
  }

  test('refuses to stream or pull from a push subscription', async () => {
    const { subscription } = await kit().createPair({ pushConfig: { pushEndpoint: 'http://127.0.0.1:9/' } });
    await assert.rejects(readEnding(kit(), subscription), { code: FAILED_PRECONDITION });
    const pulled = kit().subscriber.pull({ subscription, maxMessages: 1, returnImmediately: true });
    if (kit().differs('pullFromPush')) await pulled;
    else await assert.rejects(pulled, { code: FAILED_PRECONDITION });
  });

  test('creates subscriptions with the defaults of the service', async () => {
    const { topic, subscription } = await kit().createPair();
    const { subscriber } = kit();
    const [created] = await subscriber.getSubscription({ subscription });
    assert.equal(created.topic, topic);
    assert.equal(created.ackDeadlineSeconds, 10);
    assert.equal(Number(created.messageRetentionDuration!.seconds), 7 * 86_400);
    assert.equal(created.pushConfig!.pushEndpoint, '');
  });

  test('updates only the subscription fields in the mask', async () => {
    const { subscription } = await kit().createPair();
    const { subscriber } = kit();
    const retryPolicy = { minimumBackoff: { seconds: 1 }, maximumBackoff: { seconds: 9 } };
    const update = { name: subscription, ackDeadlineSeconds: 30, retryPolicy, labels: { not: 'named' } };
    const updateMask = { paths: ['ack_deadline_seconds', 'retry_policy'] };
    await subscriber.updateSubscription({ subscription: update, updateMask });
    const [changed] = await subscriber.getSubscription({ subscription });
    assert.equal(changed.ackDeadlineSeconds, 30);
    assert.equal(Number(changed.retryPolicy!.maximumBackoff!.seconds), 9);
    assert.deepEqual({ ...changed.labels }, {});
  });

  test('updates the labels of a topic', async () => {
    const topic = await kit().createTopic();
    const { publisher } = kit();
    const named = { name: topic, labels: { a: 'label' } };
    const update = publisher.updateTopic({ topic: named, updateMask: { paths: ['labels'] } });
    if (kit().differs('topicLabels')) {
      await assert.rejects(update, { code: INVALID_ARGUMENT });
    } else {
      await update;
      const [labelled] = await publisher.getTopic({ topic });
      assert.deepEqual({ ...labelled.labels }, { a: 'label' });
    }
  });

  test('lists the topics and subscriptions of one project in pages', async () => {
    const project = 'projects/contract-lists';
    const { publisher, subscriber } = kit();
    const ids = ['a-1', 'b-2', 'c-3'];
    for (const id of ids) {
      await publisher.createTopic({ name: `${project}/topics/${id}` });
      await subscriber.createSubscription({
        name: `${project}/subscriptions/${id}`,
        topic: `${project}/topics/a-1`,
      });
    }
    const once = { autoPaginate: false };
    const [first, , { nextPageToken: pageToken }] = await publisher.listTopics(
      { project, pageSize: 2 },
      once,
    );
    const [rest] = await publisher.listTopics({ project, pageSize: 2, pageToken: pageToken! }, once);
    assert.deepEqual(
      [...first, ...rest].map((topic) => topic.name),
      ids.map((id) => `${project}/topics/${id}`),
    );
    const names = ids.map((id) => `${project}/subscriptions/${id}`);
    const [listed] = await subscriber.listSubscriptions({ project });
    assert.deepEqual(
      listed.map((subscription) => subscription.name),
      names,
    );
    const [attached] = await publisher.listTopicSubscriptions({ topic: `${project}/topics/a-1` });
    assert.deepEqual(attached, names);
  });
}

/** Returns the error message, or undefined if this emulator is known to accept the request. */
async function assertRefused(
  kit: Kit,
  { what, call, code, differs, otherwise }: Refusal,
  has: { topic: string; subscription: string },
): Promise<string | undefined> {
  const expected = differs && kit.differs(differs) ? otherwise : code;
  let error: { code?: number; message: string } | undefined;
  await call(kit, has).catch((reason: Error) => {
    error = reason;
  });
  assert.equal(error?.code, expected, `${what}: ${error?.message}`);
  return error?.message;
}

/** Rejects with the status with which the server ends a stream. */
async function readEnding(kit: Kit, subscription: string, streamAckDeadlineSeconds = 10): Promise<never> {
  const { code, message } = await kit.openStream(subscription, { streamAckDeadlineSeconds }).ended;
  throw Object.assign(new Error(message), { code });
}

type PublishedMessage = { data?: Buffer; attributes?: Record<string, string> };

function refusePublish(what: string, messages: PublishedMessage[], differs?: Difference): Refusal {
  const call: Refusal['call'] = ({ publisher }, { topic }) => publisher.publish({ topic, messages });
  return { what, code: INVALID_ARGUMENT, call, ...(differs && { differs }) };
}

function refuseSettings(
  what: string,
  requested: Parameters<Kit['createSubscription']>[1],
  differs?: Difference,
): Refusal {
  const call: Refusal['call'] = (kit, { topic }) => kit.createSubscription(topic, requested);
  return { what, code: INVALID_ARGUMENT, call, ...(differs && { differs }) };
}
