/** The contract for push subscriptions, with a real HTTP server as the endpoint. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { test, type TestContext } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { listen } from '../network/listen.ts';
import { Inbox } from './inbox.ts';
import { toTexts, type Kit } from './kit.ts';

interface Push {
  headers: IncomingHttpHeaders;
  url: string;
  body: { subscription: string; deliveryAttempt?: number; message: Record<string, unknown> };
  at: number;
  respond(status: number): void;
  /** Resolves when the connection of the response is closed. */
  dropped: Promise<unknown>;
}

export function testPush(kit: () => Kit): void {
  test('pushes a wrapped message with an OIDC token', async (t) => {
    const { endpoint, pushes } = await startReceiver(t);
    const email = 'pusher@contract.iam.gserviceaccount.com';
    const { topic, subscription } = await kit().createPair({
      pushConfig: {
        pushEndpoint: endpoint,
        oidcToken: { serviceAccountEmail: email, audience: 'the-worker' },
      },
    });
    const message = { data: Buffer.from('pushed'), attributes: { a: '1' } };
    const [{ messageIds }] = await kit().publisher.publish({ topic, messages: [message] });
    const push = await pushes.next();
    push.respond(204);
    assert.equal(push.url, '/push?with=query');
    assert.match(push.headers['content-type']!, /^application\/json/);
    const { publishTime, ...body } = push.body.message;
    assert.ok(Math.abs(Date.parse(publishTime as string) - Date.now()) < 60_000);
    assert.equal(push.body.subscription, subscription);
    assert.deepEqual(body, {
      data: Buffer.from('pushed').toString('base64'),
      attributes: { a: '1' },
      messageId: messageIds![0],
      message_id: messageIds![0],
      publish_time: publishTime,
    });
    if (kit().differs('pushToken')) return assert.equal(push.headers.authorization, undefined);
    const token = push.headers.authorization!.replace(/^Bearer /, '');
    const keys = createRemoteJWKSet(new URL(kit().jwksUrl!));
    const { payload } = await jwtVerify(token, keys, {
      audience: 'the-worker',
      issuer: 'https://accounts.google.com',
      algorithms: ['RS256'],
      maxTokenAge: '1h',
    });
    assert.equal(payload.email, email);
    assert.equal(payload.email_verified, true);
    await assert.rejects(jwtVerify(token, keys, { audience: 'another' }), /aud/);
  });

  test('issues the token for the endpoint if no audience is set', async (t) => {
    if (kit().differs('pushToken')) return;
    const { endpoint, pushes } = await startReceiver(t);
    const { topic } = await kit().createPair({
      pushConfig: { pushEndpoint: endpoint, oidcToken: { serviceAccountEmail: 'a@b.c' } },
    });
    await kit().publish(topic, 'x');
    const push = await pushes.next();
    push.respond(200);
    const token = push.headers.authorization!.replace(/^Bearer /, '');
    await jwtVerify(token, createRemoteJWKSet(new URL(kit().jwksUrl!)), { audience: endpoint });
  });

  test('sends no token if no service account is set', async (t) => {
    const { endpoint, pushes } = await startReceiver(t);
    const { topic } = await kit().createPair({ pushConfig: { pushEndpoint: endpoint } });
    await kit().publish(topic, 'x');
    const push = await pushes.next();
    push.respond(200);
    assert.equal(push.headers.authorization, undefined);
  });

  test('pushes a message again until the response is a success', async (t) => {
    const { endpoint, pushes } = await startReceiver(t);
    const deadLetterTopic = await kit().createTopic();
    const { topic } = await kit().createPair({
      pushConfig: { pushEndpoint: endpoint },
      deadLetterPolicy: { deadLetterTopic, maxDeliveryAttempts: 10 },
    });
    const [id] = await kit().publish(topic, 'again');
    const attempts: unknown[] = [];
    for (const status of [500, 302, 429, 202]) {
      const push = await pushes.next();
      assert.equal(push.body.message.messageId, id);
      attempts.push(push.body.deliveryAttempt);
      push.respond(status);
      if (status === 302 && kit().differs('pushRedirect')) {
        const redirected = await pushes.next();
        assert.equal(redirected.url, '/elsewhere');
        redirected.respond(500);
      }
    }
    const expected = [1, 2, 3, 4].map((attempt) => (kit().differs('pushAttempts') ? undefined : attempt));
    assert.deepEqual(attempts, expected);
    const [after] = await kit().publish(topic, 'after');
    const push = await pushes.next();
    push.respond(200);
    assert.equal(push.body.message.messageId, after);
  });

  test('abandons and repeats a push without a response within the ack deadline', async (t) => {
    const { endpoint, pushes } = await startReceiver(t);
    const { topic } = await kit().createPair({
      pushConfig: { pushEndpoint: endpoint },
      ackDeadlineSeconds: 10,
    });
    const from = performance.now(); // the first push may be observed late
    await kit().publish(topic, 'slow');
    const first = await pushes.next();
    const second = await pushes.next();
    second.respond(200);
    assert.deepEqual(second.body.message, first.body.message);
    assert.ok(second.at - from > 9_500, `it was repeated after ${second.at - from} ms`);
    if (kit().differs('pushAbandoned')) first.respond(200);
    await first.dropped;
  });

  test('switches a subscription from push to pull and back', async (t) => {
    const { endpoint, pushes } = await startReceiver(t);
    const { topic, subscription } = await kit().createPair({ pushConfig: { pushEndpoint: endpoint } });
    await kit().publish(topic, 'one');
    (await pushes.next()).respond(200);
    await kit().subscriber.modifyPushConfig({ subscription, pushConfig: {} });
    await kit().publish(topic, 'two');
    const pulled = await kit().pull(subscription);
    assert.deepEqual(toTexts(pulled), ['two']);
    await kit().acknowledge(subscription, ...pulled);
    await kit().subscriber.updateSubscription({
      subscription: { name: subscription, pushConfig: { pushEndpoint: endpoint } },
      updateMask: { paths: ['push_config'] },
    });
    await kit().publish(topic, 'three');
    const push = await pushes.next();
    push.respond(200);
    assert.equal(Buffer.from(push.body.message.data as string, 'base64').toString(), 'three');
  });
}

async function startReceiver(t: TestContext): Promise<{ endpoint: string; pushes: Inbox<Push> }> {
  const pushes = new Inbox<Push>();
  const server = createServer((request, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      pushes.push({
        headers: request.headers,
        url: request.url ?? '',
        body: JSON.parse(Buffer.concat(chunks).toString() || 'null') as Push['body'],
        at: performance.now(),
        dropped: once(response, 'close'),
        respond: (status) =>
          response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end(),
      });
    });
  });
  const endpoint = `${await listen(t, server)}/push?with=query`;
  return { endpoint, pushes };
}
