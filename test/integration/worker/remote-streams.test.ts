/** Streams of other agents' tasks: of servers of the SDKs, and of ones that misbehave. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import { describe, test, type TestContext } from 'node:test';
import type {
  RemoteAgent,
  RemoteEvent,
  RemoteMessage,
  RemoteTask,
} from '#services/worker/agent/remote/agent.ts';
import { createRemoteAgents } from '#services/worker/agent/remote/agents.ts';
import { followTask, type Followed } from '#services/worker/turn/relay/follow.ts';
import type { Mirror } from '#services/worker/turn/relay/mirror.ts';
import { FatalError } from '#shared/domain/errors.ts';
import { textOf } from '#shared/domain/message.ts';
import { listen } from '../../support/network/listen.ts';
import { release, startSdkAgent, startV03SdkAgent } from '../../support/agents/sdk-agents.ts';
import { waitFor } from '../../support/wait-for.ts';

const { signal } = new AbortController();

const open = (url: string): Promise<RemoteAgent> =>
  createRemoteAgents(() => undefined, new Set()).open('peer', {
    url,
    timeoutSeconds: 60,
    maxOutputChars: 100,
  });

const createMessage = (text: string): RemoteMessage => ({
  messageId: randomUUID(),
  parts: [{ text }],
  metadata: {},
  notify: undefined,
});

/** Collects what a stream brings. */
function createLog(): { mirror: Mirror; events: RemoteEvent[] } {
  const events: RemoteEvent[] = [];
  const mirror = {
    show: async (task: RemoteTask) => void events.push({ task }),
    add: async (event: RemoteEvent) => void events.push(event),
  };
  return { mirror: mirror as unknown as Mirror, events };
}

const follow = (agent: RemoteAgent, taskId: string, mirror = createLog().mirror): Promise<Followed> =>
  followTask(agent, taskId, mirror, { signal, releaseSignal: signal, leftMs: 60_000 });

const getText = ({ artifacts }: RemoteTask): string => artifacts.map(({ parts }) => textOf(parts)).join('|');

const peers: [string, (t: TestContext) => Promise<string>][] = [
  ['1.0 over JSON-RPC', (t) => startSdkAgent(t, 'JSONRPC')],
  ['1.0 over HTTP+JSON', (t) => startSdkAgent(t, 'HTTP+JSON')],
  ['1.0 over gRPC', (t) => startSdkAgent(t, 'GRPC')],
  ['0.3 over JSON-RPC', (t) => startV03SdkAgent(t)],
];

describe('the stream of a task', () => {
  for (const [name, start] of peers) {
    test(`of A2A ${name} starts with the task, and ends with it`, async (t) => {
      const agent = await open(await start(t));
      const { task } = await agent.send(createMessage('half'), signal);
      await waitFor(
        'the first word',
        async () => (await agent.get(task!.id, signal))?.artifacts.length === 1,
      );
      const { mirror, events } = createLog();
      const followed = follow(agent, task!.id, mirror);
      await waitFor('the stream', () => events.length > 0);
      release();
      const end = await followed;
      assert.ok(end.end === 'settled', end.end);
      assert.deepEqual([end.task.state, getText(end.task)], ['TASK_STATE_COMPLETED', 'hello world']);
      assert.ok('task' in events[0]!);
      assert.equal(getText(events[0].task), 'hello ');
    });
  }
});

/** Starts an agent that streams, and answers a subscription by `answer`. */
async function startPeer(
  t: TestContext,
  answer: (response: ServerResponse, send: (event: object) => void) => void,
) {
  const url: string = await listen(
    t,
    createServer((request, response) => {
      if (request.method === 'GET') {
        const supportedInterfaces = [
          { url: `${url}/a2a`, protocolBinding: 'JSONRPC', protocolVersion: '1.0' },
        ];
        const card = {
          name: 'Peer',
          description: 'A peer.',
          version: '1',
          capabilities: { streaming: true },
          supportedInterfaces,
        };
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify(card));
        return;
      }
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { id } = JSON.parse(Buffer.concat(chunks).toString()) as { id: number };
        answer(response, (result) => {
          if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' });
          response.write(`data: ${JSON.stringify({ jsonrpc: '2.0', id, result })}\n\n`);
        });
      });
    }),
  );
  return open(url);
}

const working = { task: { id: 'r', contextId: 'c', status: { state: 'TASK_STATE_WORKING' } } };
const createChunk = (text: string, taskId = 'r') => ({
  artifactUpdate: { taskId, contextId: 'c', append: true, artifact: { artifactId: 'a', parts: [{ text }] } },
});

describe('a hostile stream', () => {
  const cases: [string, (response: ServerResponse, send: (event: object) => void) => void, number][] = [
    [
      'of another content type',
      (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<p>'),
      0,
    ],
    ['that is refused', (response) => response.writeHead(401).end(), 0],
    ['that redirects', (response) => response.writeHead(307, { location: 'http://10.0.0.1/' }).end(), 0],
    ['that does not start with the task', (_response, send) => send(createChunk('x')), 0],
    [
      'with an event of another task',
      (_response, send) => {
        send(working);
        send(createChunk('x', 'other'));
      },
      1,
    ],
    ['about another task', (_response, send) => send({ task: { ...working.task, id: 'other' } }), 0],
    [
      'that breaks',
      (response, send) => {
        send(working);
        setImmediate(() => response.destroy());
      },
      1,
    ],
    [
      'with a chunk of 5 MiB',
      (_response, send) => {
        send(working);
        send(createChunk('x'.repeat(5 * 1024 * 1024)));
      },
      1,
    ],
    [
      'that is not JSON',
      (response) => response.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: {\n\n'),
      0,
    ],
  ];
  for (const [name, answer, shown] of cases) {
    test(`${name} is left`, async (t) => {
      const agent = await startPeer(t, answer);
      const { mirror, events } = createLog();
      const { end } = await follow(agent, 'r', mirror);
      assert.equal(end, shown === 0 ? 'refused' : 'broken');
      assert.equal(events.length, shown);
    });
  }

  test('that never ends is left when the time is over, or the turn ends', async (t) => {
    const agent = await startPeer(t, (response, send) => {
      send(working);
      const timer = setInterval(() => send(createChunk('x')), 10);
      response.on('close', () => clearInterval(timer));
    });
    const { mirror } = createLog();
    const timed = await followTask(agent, 'r', mirror, { signal, releaseSignal: signal, leftMs: 99.5 });
    assert.equal(timed.end, 'silent');
    const released = AbortSignal.timeout(100);
    await assert.rejects(
      followTask(agent, 'r', mirror, { signal, releaseSignal: released, leftMs: 60_000 }),
      (error) => error === released.reason,
    );
  });

  test('that brings too much fails the turn', async (t) => {
    const agent = await startPeer(t, (_response, send) => {
      send(working);
      send(createChunk('x'));
    });
    const tooMuch = {
      show: async () => false,
      add: async (event: RemoteEvent) => {
        if ('artifact' in event) throw new FatalError('too much');
      },
    };
    await assert.rejects(follow(agent, 'r', tooMuch as unknown as Mirror), /too much/);
  });
});
