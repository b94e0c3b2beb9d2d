/** Publish, pull, streams, acknowledgement, deadlines, retries and dead letters. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { Inbox } from './inbox.ts';
import { text, texts, type Kit, type PulledMessage } from './kit.ts';

export function deliveryContract(kit: () => Kit): void {
  test('a message reaches the client library whole, and is acknowledged', async () => {
    const { pubsub } = kit();
    const { topic, subscription } = await kit().pair();
    const id = await pubsub
      .topic(topic)
      .publishMessage({ data: Buffer.from('hällo'), attributes: { a: '1', 'b c': 'ü' } });
    const client = pubsub.subscription(subscription, { closeOptions: { behavior: 'WAIT' } });
    const inbox = new Inbox<{
      id: string;
      data: Buffer;
      attributes: object;
      publishTime: Date;
      attempt: number;
    }>();
    client.on('error', (error: Error) => inbox.fail(error));
    client.on('message', (message) => {
      const { id, data, attributes, publishTime, deliveryAttempt: attempt } = message;
      inbox.push({ id, data, attributes, publishTime, attempt });
      message.ack();
    });
    const message = await inbox.next();
    await client.close();
    assert.equal(message.id, id);
    assert.equal(message.data.toString(), 'hällo');
    assert.deepEqual({ ...message.attributes }, { a: '1', 'b c': 'ü' });
    assert.ok(Math.abs(message.publishTime.getTime() - Date.now()) < 60_000);
    assert.equal(message.attempt, 0, 'attempts are counted only with a dead-letter policy');
    assert.deepEqual(await kit().peek(subscription), []);
  });

  test('every subscription has its own copy, and only of what is published after its creation', async () => {
    const { topic, subscription } = await kit().pair();
    await kit().publish(topic, 'one');
    const later = await kit().subscription(topic);
    const ids = await kit().publish(topic, 'two', 'three');
    assert.equal(new Set(ids).size, 2);
    const early = await pullAll(kit(), subscription, 3);
    assert.deepEqual(texts(early), ['one', 'three', 'two']);
    assert.deepEqual(texts(await pullAll(kit(), later, 2)), ['three', 'two']);
  });

  test('a pull waits for a message', async () => {
    const { topic, subscription } = await kit().pair();
    const pulled = kit().pull(subscription);
    await kit().publish(topic, 'late');
    assert.deepEqual(texts(await pulled), ['late']);
  });

  test('an idle publish is pushed to an open stream at once', async () => {
    const { topic, subscription } = await kit().pair();
    const stream = kit().stream(subscription);
    const took: number[] = [];
    for (let round = 0; round < 15; round += 1) {
      const start = performance.now();
      await kit().publish(topic, `${round}`);
      await stream.messages.next();
      took.push(performance.now() - start);
    }
    // The quickest tells what it takes; the others also what else the machine does.
    const quickest = Math.min(...took);
    assert.ok(quickest < 100, `each message took ${quickest} ms or more`);
  });

  test('a refused message comes again at once, under another ack id', async () => {
    const { topic, subscription } = await kit().pair();
    await kit().publish(topic, 'again');
    const [first] = await kit().pull(subscription);
    await kit().deadline(subscription, 0, first!);
    const [second] = await kit().pull(subscription);
    assert.equal(text(second!), 'again');
    assert.notEqual(second!.ackId, first!.ackId);
    await kit().deadline(subscription, 0, first!);
    assert.deepEqual(await kit().peek(subscription), [], 'an old ack id refuses nothing');
  });

  test('a message whose deadline passes comes again; one acknowledged or extended in time does not', async () => {
    const { topic, subscription } = await kit().pair();
    await kit().publish(topic, 'lapsed', 'acknowledged', 'extended');
    const received = await pullAll(kit(), subscription, 3);
    const start = performance.now();
    await kit().deadline(subscription, 4, ...received);
    await kit().deadline(
      subscription,
      60,
      received.find((one) => text(one) === 'extended')!,
    );
    await kit().acknowledge(
      subscription,
      received.find((one) => text(one) === 'acknowledged')!,
    );
    const again = await kit().pull(subscription, 10);
    assert.deepEqual(texts(again), ['lapsed']);
    const waited = performance.now() - start;
    assert.ok(waited > 3_900, `it came after ${waited} ms`);
  });

  test('what a broken stream held stays leased until its deadline', async () => {
    const { topic, subscription } = await kit().pair();
    await kit().publish(topic, 'held');
    const stream = kit().stream(subscription);
    const held = await stream.messages.next();
    stream.cancel();
    await stream.ended;
    assert.deepEqual(await kit().peek(subscription), []);
    await kit().deadline(subscription, 0, held);
    assert.deepEqual(texts(await kit().pull(subscription)), ['held']);
  });

  test('a stream acknowledges and refuses by its own requests too', async () => {
    const { topic, subscription } = await kit().pair();
    const stream = kit().stream(subscription);
    await kit().publish(topic, 'done', 'again');
    const received = await stream.messages.take(2);
    const [done, again] = [...received].sort((a, b) => text(b).localeCompare(text(a))) as [
      PulledMessage,
      PulledMessage,
    ];
    assert.deepEqual([text(done), text(again)], ['done', 'again']);
    await kit().deadline(subscription, 3, done);
    stream.write({
      ackIds: [done.ackId!],
      modifyDeadlineAckIds: [again.ackId!],
      modifyDeadlineSeconds: [0],
    });
    const twice = await stream.messages.next();
    assert.equal(text(twice), 'again');
    stream.write({ modifyDeadlineAckIds: [twice.ackId!], modifyDeadlineSeconds: [5] });
    assert.equal(text(await stream.messages.next()), 'again', 'not the acknowledged one, due before');
  });

  test('messages spread over the open streams', async () => {
    const { topic, subscription } = await kit().pair();
    const streams = [kit().stream(subscription), kit().stream(subscription)];
    while (streams.some((stream) => stream.messages.all.length < 5)) await kit().publish(topic, 'any');
  });

  test('a stream is given no more than its outstanding messages, until one is settled', async () => {
    const { topic, subscription } = await kit().pair();
    const narrow = kit().stream(subscription, { maxOutstandingMessages: 2 });
    await kit().publish(topic, 'a', 'b', 'c', 'd', 'e');
    const [first] = await narrow.messages.take(kit().differs('flowControl') ? 5 : 2);
    if (kit().differs('flowControl')) return;
    const wide = kit().stream(subscription);
    await wide.messages.take(3);
    wide.cancel();
    await wide.ended;
    await kit().publish(topic, 'f');
    assert.equal(narrow.messages.all.length, 2);
    await kit().acknowledge(subscription, first!);
    assert.equal(text(await narrow.messages.next()), 'f');
  });

  test('a stream is given no more once its outstanding bytes are reached', async () => {
    const { topic, subscription } = await kit().pair();
    const narrow = kit().stream(subscription, { maxOutstandingBytes: 10 });
    await kit().publish(topic, 'a'.repeat(20), 'b'.repeat(20), 'c');
    if (kit().differs('flowControl')) {
      await narrow.messages.take(3);
      return;
    }
    const first = await narrow.messages.next();
    assert.equal(text(first).length, 20, 'a message above the limit passes when nothing is outstanding');
    await kit().acknowledge(subscription, first);
    await kit().acknowledge(subscription, await narrow.messages.next());
    await narrow.messages.next();
    const most = narrow.responses.all.map((response) => response.receivedMessages?.length);
    assert.deepEqual(most, [0, 1, 1, 1]);
  });

  test('an empty request on a stream is answered', async () => {
    const { topic, subscription } = await kit().pair();
    const stream = kit().stream(subscription);
    stream.write({});
    if (kit().differs('pings')) {
      await kit().publish(topic, 'instead');
      await stream.messages.next();
      assert.equal(stream.responses.all.length, 1);
    } else {
      const [opening, answer] = await stream.responses.take(2);
      assert.equal(opening!.subscriptionProperties?.exactlyOnceDeliveryEnabled, false);
      assert.deepEqual(answer!.receivedMessages, []);
    }
  });

  test('the retry policy spaces the attempts, doubling up to its maximum', async () => {
    const duration = (ms: number) => ({ seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 });
    const retryPolicy = { minimumBackoff: duration(1000), maximumBackoff: duration(2500) };
    const { topic, subscription } = await kit().pair({ retryPolicy });
    await kit().publish(topic, 'hard');
    const stream = kit().stream(subscription);
    const gaps: number[] = [];
    for (let message = await stream.messages.next(); gaps.length < 3;) {
      const refused = performance.now();
      await kit().deadline(subscription, 0, message);
      message = await stream.messages.next();
      gaps.push(performance.now() - refused);
    }
    // Google's emulator counts from when it had sent the message, of which some time has passed at its refusal.
    const expected = kit().differs('backoff') ? [0, 500, 1000] : [1000, 2000, 2500];
    expected.forEach((least, at) => assert.ok(gaps[at]! >= least, `gaps of ${gaps.join(', ')} ms`));
    if (kit().differs('backoff')) assert.ok(gaps[0]! < 1000, `a first gap of ${gaps[0]} ms`);
  });

  test('after its attempts a message goes to the dead-letter topic, saying where it came from', async () => {
    const deadTopic = await kit().topic();
    const dead = await kit().subscription(deadTopic);
    const deadLetterPolicy = { deadLetterTopic: deadTopic, maxDeliveryAttempts: 5 };
    const { topic, subscription } = await kit().pair({ deadLetterPolicy });
    const message = { data: Buffer.from('poison'), attributes: { own: 'kept' } };
    const [{ messageIds }] = await kit().publisher.publish({ topic, messages: [message] });
    const attempts: number[] = [];
    while (attempts.length < 5) {
      const [received] = await kit().pull(subscription);
      attempts.push(received!.deliveryAttempt!);
      await kit().deadline(subscription, 0, received!);
    }
    assert.deepEqual(attempts, [1, 2, 3, 4, 5]);
    assert.deepEqual(await kit().peek(subscription), []);
    const [letter] = await kit().pull(dead);
    assert.equal(text(letter!), 'poison');
    assert.equal(letter!.deliveryAttempt, 0);
    assert.notEqual(letter!.message!.messageId, messageIds![0]);
    const { CloudPubSubDeadLetterSourceTopicPublishTime: time, ...attributes } = letter!.message!.attributes!;
    const zone = kit().differs('deadLetterTime') ? 'Z' : '+00:00';
    assert.equal(time, new Date(time!).toISOString().replace('Z', zone));
    assert.deepEqual(attributes, {
      own: 'kept',
      CloudPubSubDeadLetterSourceDeliveryCount: '5',
      CloudPubSubDeadLetterSourceSubscription: subscription.split('/').at(-1),
      CloudPubSubDeadLetterSourceSubscriptionProject: 'contract',
    });
  });

  test('the subscription of a deleted topic keeps what it has; a deleted subscription ends its streams', async () => {
    const { topic, subscription } = await kit().pair();
    await kit().publish(topic, 'left');
    await kit().publisher.deleteTopic({ topic });
    const [settings] = await kit().subscriber.getSubscription({ subscription });
    assert.equal(settings.topic, '_deleted-topic_');
    const stream = kit().stream(subscription);
    assert.equal(text(await stream.messages.next()), 'left');
    await kit().subscriber.deleteSubscription({ subscription });
    assert.equal((await stream.ended).code, status.NOT_FOUND);
  });
}

async function pullAll(kit: Kit, subscription: string, count: number) {
  const received = [];
  while (received.length < count) received.push(...(await kit.pull(subscription, count)));
  return received;
}
