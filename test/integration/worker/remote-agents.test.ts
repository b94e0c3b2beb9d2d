/** The client of other agents, against servers of the SDKs of A2A 1.0 and 0.3, and against ones that misbehave. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import { describe, test, type TestContext } from 'node:test';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import { RetryableError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { CredentialsError } from '#services/worker/agent/errors.ts';
import {
  BusyError,
  RefusedError,
  type RemoteAgent,
  type RemoteMessage,
  type RemoteTask,
  type Sent,
} from '#services/worker/agent/remote/agent.ts';
import { getPowers } from '#shared/agent/powers.ts';
import { createRemoteAgents } from '#services/worker/agent/remote/agents.ts';
import { agentTimes, type AgentTimes } from '#services/worker/agent/remote/fetch.ts';
import { minimalDefinition } from '../../support/agents/definition.ts';
import { startMetadataServer } from '../../support/fakes/metadata-server.ts';
import { listen } from '../../support/network/listen.ts';
import { startSdkAgent, startV03SdkAgent } from '../../support/agents/sdk-agents.ts';
import { waitFor } from '../../support/wait-for.ts';

const secrets = new Map([['TOKEN', 's3cret']]);
const { signal } = new AbortController();

const define = (agent: JsonObject) =>
  parseAgentDefinition(JSON.stringify({ ...minimalDefinition, agents: { peer: agent } }), 'x');

/**
 * @param own the agent as the worker's own file defines it
 * @param times shorter ones than usual
 */
async function open(agent: JsonObject, own = agent, times: Partial<AgentTimes> = {}): Promise<RemoteAgent> {
  const powers = getPowers([define(own)]);
  const remote = createRemoteAgents((name) => secrets.get(name), powers, { ...agentTimes, ...times });
  return remote.open('peer', define(agent).agents['peer']!);
}

const createMessage = (text: string, more: Partial<RemoteMessage> = {}): RemoteMessage => ({
  messageId: randomUUID(),
  parts: [{ text }],
  metadata: {},
  notify: undefined,
  ...more,
});

const getAnswer = (sent: Sent): unknown => ('message' in sent ? sent.message : sent.task);

const send = (agent: RemoteAgent, text: string, more: Partial<RemoteMessage> = {}): Promise<Sent> =>
  agent.send(createMessage(text, more), signal);

async function until(agent: RemoteAgent, sent: Sent, state: string): Promise<RemoteTask> {
  return waitFor(`the state ${state}`, async () => {
    const task = await agent.get(sent.task!.id, signal);
    return task?.state === state ? task : undefined;
  });
}

const peers: [string, (t: TestContext) => Promise<string>][] = [
  ['1.0 over JSON-RPC', (t) => startSdkAgent(t, 'JSONRPC')],
  ['1.0 over HTTP+JSON', (t) => startSdkAgent(t, 'HTTP+JSON')],
  ['0.3 over JSON-RPC', (t) => startV03SdkAgent(t)],
];

describe('another agent', () => {
  for (const [name, start] of peers) {
    test(`of A2A ${name} works, asks, and is canceled`, async (t) => {
      const agent = await open({ url: await start(t) });
      const { name: peer, skills = [] } = (await agent.describe()) ?? {};
      assert.deepEqual([peer, skills.map(({ id }) => id)], ['Peer', ['a']]);
      const [hello, asked, waiting] = await Promise.all(
        ['hi', 'ask', 'wait'].map((text) => send(agent, text)),
      );
      const done = await until(agent, hello!, 'TASK_STATE_COMPLETED');
      assert.equal(done.artifacts[0]!.parts.map(({ text }) => text).join(''), 'hello world');
      await until(agent, asked!, 'TASK_STATE_INPUT_REQUIRED');
      const answered = await send(agent, 'Paris', { taskId: asked!.task!.id });
      assert.equal(answered.task!.id, asked!.task!.id);
      await until(agent, asked!, 'TASK_STATE_COMPLETED');
      await agent.cancel(waiting!.task!.id, signal);
      await until(agent, waiting!, 'TASK_STATE_CANCELED');
      await agent.cancel(waiting!.task!.id, signal);
      assert.equal(await agent.get(randomUUID(), signal), undefined);
      const first = createMessage('hi');
      const { task } = await agent.send(first, signal);
      const second = createMessage('more', { taskId: asked!.task!.id });
      const found = await Promise.all([first, createMessage('hi'), second].map((m) => agent.find(m, signal)));
      // Agents of 0.3 cannot list tasks.
      const taskId = name.startsWith('0.3') ? undefined : task!.id;
      assert.deepEqual(
        found.map((each) => each?.taskId),
        [taskId, undefined, undefined],
      );
      await assert.rejects(send(agent, 'x', { taskId: randomUUID() }), RefusedError);
    });
  }
});

/** Starts a server that serves a card, and answers messages by `answer`. */
async function startPeer(
  t: TestContext,
  answer: RequestListener,
  interfaceUrl?: string,
): Promise<{ url: string; headers: IncomingHttpHeaders[] }> {
  const headers: IncomingHttpHeaders[] = [];
  const url: string = await listen(
    t,
    createServer((request, response) => {
      headers.push(request.headers);
      if (request.method !== 'GET') return answer(request, response);
      const supportedInterfaces = [
        { url: interfaceUrl ?? `${url}/a2a`, protocolBinding: 'JSONRPC', protocolVersion: '1.0' },
      ];
      response.setHeader('content-type', 'application/json');
      response.end(
        JSON.stringify({
          name: 'Peer',
          description: 'A peer.',
          version: '1',
          capabilities: {},
          supportedInterfaces,
        }),
      );
    }),
  );
  return { url, headers };
}

const answerStatus =
  (status: number, headers: Record<string, string> = {}): RequestListener =>
  (_request, response) => {
    response.writeHead(status, headers);
    response.end();
  };

describe('the client of another agent', () => {
  test('sends credentials to the origin of the definition, and no messages elsewhere', async (t) => {
    const other = await startPeer(t, answerStatus(500));
    const peer = await startPeer(t, answerStatus(503), `${other.url}/a2a`);
    const auth = { auth: '${env:TOKEN}', headers: { 'x-api-key': 'k ${env:TOKEN}' } };
    const agent = await open({ url: peer.url, ...auth });
    await assert.rejects(send(agent, 'x'), (error: Error) => {
      assert.ok(error instanceof RefusedError);
      assert.match(error.message, /has no address at http:\/\/127\.0\.0\.1:\d+, only at http:/);
      return true;
    });
    assert.equal(other.headers.length, 0);
    assert.equal(peer.headers[0]!.authorization, 'Bearer s3cret');
    assert.equal(peer.headers[0]!['x-api-key'], 'k s3cret');
    const elsewhere = await open({ url: other.url, card: peer.url, ...auth });
    await assert.rejects(send(elsewhere, 'x'), RetryableError);
    assert.equal(peer.headers[1]!.authorization, undefined);
    assert.equal(other.headers[0]!.authorization, 'Bearer s3cret');
  });

  test('sends no secret for an agent that the files of the worker do not have', async (t) => {
    const peer = await startPeer(t, answerStatus(503));
    const agent = { url: peer.url, auth: '${env:TOKEN}' };
    for (const own of [{ url: peer.url }, { ...agent, url: 'http://127.0.0.1:1' }]) {
      await assert.rejects(open(agent, own), { name: 'RetryableError', message: /not allow/ });
    }
    await open({ url: peer.url }, agent);
    assert.equal(peer.headers.length, 0);
  });

  test('distinguishes outages, refusals and refused credentials', async (t) => {
    const failWith = async (status: number, headers?: Record<string, string>): Promise<Error> => {
      const { url } = await startPeer(t, answerStatus(status, headers));
      return send(await open({ url }), 'x').then(
        () => assert.fail('it was accepted'),
        (error: Error) => error,
      );
    };
    const errors = await Promise.all([
      failWith(503),
      failWith(429),
      failWith(500),
      failWith(401),
      failWith(302, { location: 'http://10.0.0.1/' }),
      failWith(404),
      failWith(200, { 'content-type': 'text/html' }),
      open({ url: 'http://127.0.0.1:1' }).then((agent) =>
        send(agent, 'x').then(
          () => assert.fail('it was accepted'),
          (error: Error) => error,
        ),
      ),
    ]);
    const kinds = errors.map(({ name }) => name.replace('Error', ''));
    const expected = [
      'Retryable',
      'Retryable',
      'Retryable',
      'Credentials',
      'Refused',
      'Refused',
      'Refused',
      'Retryable',
    ];
    assert.deepEqual(kinds, expected, errors.map(({ message }) => message).join('\n'));
    assert.match(errors[4].message, /redirects to http:\/\/10\.0\.0\.1\//);
    const asks = { 'retry-after': '7' };
    const busy = await Promise.all([failWith(429, asks), failWith(503, asks), failWith(502, asks)]);
    const seconds = busy.map((error) => (error instanceof BusyError ? error.retryAfterSeconds : undefined));
    assert.deepEqual(seconds, [7, 7, undefined]);
  });

  test('sends an identity token of Google for its origin, or for an audience', async (t) => {
    const metadata = await startMetadataServer(t);
    const before = { ...process.env };
    t.after(() => (process.env = before));
    Object.assign(process.env, {
      GCE_METADATA_HOST: metadata.host,
      METADATA_SERVER_DETECTION: 'assume-present',
      GOOGLE_APPLICATION_CREDENTIALS: '',
    });
    const peer = await startPeer(t, answerStatus(503));
    for (const googleIdentity of [true, 'https://own.example'] as const) {
      const agent = await open({ url: peer.url, googleIdentity });
      await assert.rejects(send(agent, 'x'), RetryableError);
      const { authorization = '' } = peer.headers.at(-1)!;
      const claims = JSON.parse(
        Buffer.from(authorization.split('.')[1] ?? '', 'base64url').toString(),
      ) as JsonObject;
      assert.equal(claims['aud'], googleIdentity === true ? peer.url : googleIdentity);
    }
  });

  test('needs its secrets, bounds answers, and refuses ids that cannot be stored', async (t) => {
    const missing = await open({ url: 'http://127.0.0.1:1', auth: '${env:NONE}' });
    await assert.rejects(send(missing, 'x'), CredentialsError);
    let result: object = {};
    let error: object | undefined;
    const { url } = await startPeer(t, (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { id } = JSON.parse(Buffer.concat(chunks).toString()) as { id: number };
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ jsonrpc: '2.0', id, ...(error ? { error } : { result }) }));
      });
    });
    const agent = await open({ url });
    result = { message: { messageId: 'm', role: 'ROLE_AGENT', parts: [{ text: 'hi' }], contextId: 'c' } };
    assert.deepEqual(await send(agent, 'x'), { message: [{ text: 'hi' }], contextId: 'c' });
    error = { code: -32603, message: 'Task not found: r' };
    assert.equal(await agent.get('r', signal), undefined, 'as ADK 2.0 answers');
    error = { code: -32603, message: 'no disk' };
    await assert.rejects(agent.get('r', signal), RetryableError);
    error = undefined;
    result = { task: { id: 'other', status: { state: 'TASK_STATE_WORKING' } } };
    await assert.rejects(
      send(agent, 'x', { taskId: 'r' }),
      /answered with the task other to a question about r/,
    );
    result = { task: { id: 'a\0b', status: { state: 'TASK_STATE_WORKING' } } };
    await assert.rejects(send(agent, 'x'), /whose id is not valid/);
    result = {
      message: { messageId: 'm', role: 'ROLE_AGENT', parts: [{ text: 'x'.repeat(17 * 1024 * 1024) }] },
    };
    await assert.rejects(send(agent, 'x'), /is larger than 16777216 bytes/);
  });
});

describe('an agent that is slow', () => {
  const cases: Record<string, [Partial<AgentTimes>, RequestListener]> = {
    'to answer': [{ silenceMs: 300 }, () => undefined],
    'within its answer': [
      { bodyMs: 300 },
      (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        const timer = setInterval(() => response.write(' '), 50);
        response.on('close', () => clearInterval(timer));
      },
    ],
  };
  for (const [when, [times, answer]] of Object.entries(cases)) {
    test(`${when} counts as unavailable`, async (t) => {
      const peer = { url: (await startPeer(t, answer)).url };
      const agent = await open(peer, peer, times);
      await assert.rejects(send(agent, 'x'), RetryableError);
    });
  }

  test('to answer a read of a task is not waited for', async (t) => {
    const peer = { url: (await startPeer(t, () => undefined)).url };
    const agent = await open(peer, peer, { getMs: 300 });
    await assert.rejects(agent.get('r', signal), RetryableError);
  });
});

/** Starts an agent that answers each message with its path, which its card names. */
async function startMoving(t: TestContext, binding: string) {
  const state = { path: '/old', named: '/old', cards: 0 };
  const url: string = await listen(
    t,
    createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        response.setHeader('content-type', 'application/json');
        if (request.url === '/.well-known/agent-card.json') {
          state.cards += 1;
          const address = { url: url + state.named, protocolBinding: binding, protocolVersion: '1.0' };
          const card = { name: 'Peer', description: 'A peer.', version: '1', capabilities: {} };
          response.end(JSON.stringify({ ...card, supportedInterfaces: [address] }));
        } else if (request.url?.startsWith(state.path)) {
          const result = { message: { messageId: 'm', role: 'ROLE_AGENT', parts: [{ text: state.path }] } };
          const { id } = JSON.parse(Buffer.concat(chunks).toString()) as { id?: number };
          response.end(JSON.stringify(binding === 'JSONRPC' ? { jsonrpc: '2.0', id, result } : result));
        } else {
          response.writeHead(404, { 'content-type': 'text/html' }).end('Nothing here.');
        }
      });
    }),
  );
  return { agent: await open({ url }), state };
}

describe('an agent that moves', () => {
  for (const binding of ['JSONRPC', 'HTTP+JSON']) {
    test(`over ${binding} gets the message where its card says`, async (t) => {
      const { agent, state } = await startMoving(t, binding);
      assert.deepEqual(getAnswer(await send(agent, 'x')), [{ text: '/old' }]);
      Object.assign(state, { path: '/new', named: '/new' });
      assert.deepEqual(getAnswer(await send(agent, 'x')), [{ text: '/new' }]);
      assert.deepEqual(getAnswer(await send(agent, 'x')), [{ text: '/new' }]);
      assert.equal(state.cards, 2);
    });

    test(`over ${binding}, and whose card does not say so, has not lost its tasks`, async (t) => {
      const { agent, state } = await startMoving(t, binding);
      await send(agent, 'x');
      state.path = '/new';
      for (let read = 0; read < 2; read += 1) {
        await assert.rejects(agent.get('r', signal), /not valid|unavailable/);
      }
      assert.ok(state.cards > 1);
    });
  }
});
