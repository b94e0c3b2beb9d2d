/**
 * Agents on the servers of the official JavaScript SDKs of A2A 1.0 and 0.3, set up as in their samples. For the text
 * `ask` they ask for a city, for `wait` they work until they are canceled, and otherwise they stream `hello world`: for
 * `later` only when `release` is called, and for `half` the second word. Those of 1.0 answer `message` by a single message,
 * end as failed, rejected or canceled for `fail`, `reject` and `give up`, ask for an authorization for `authorize`, and answer
 * `echo` with the message that they got, as data.
 */
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import { Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js';
import { AgentCard, Artifact, Message as WireMessage, TaskState, type Message } from '@a2a-js/sdk';
import { DefaultRequestHandler, InMemoryTaskStore, type AgentExecutor } from '@a2a-js/sdk/server';
import { agentCardHandler, jsonRpcHandler, restHandler, UserBuilder } from '@a2a-js/sdk/server/express';
import { A2AService, grpcService, UserBuilder as GrpcUsers } from '@a2a-js/sdk/server/grpc';
import {
  DefaultRequestHandler as V03RequestHandler,
  InMemoryTaskStore as V03TaskStore,
  type AgentExecutor as V03Executor,
} from 'a2a-js-0.3/server';
import {
  agentCardHandler as v03CardHandler,
  jsonRpcHandler as v03JsonRpcHandler,
} from 'a2a-js-0.3/server/express';
import express from 'express';
import type { Cleanup } from '../cleanup.ts';
import { listen } from '../network/listen.ts';

const common = {
  name: 'Peer',
  description: 'A peer.',
  version: '1',
  capabilities: { streaming: true },
  defaultInputModes: ['text/plain'],
  defaultOutputModes: ['text/plain'],
  skills: [{ id: 'a', name: 'A', description: 'Does a.', tags: [] }],
};

const executions = new Map<string, number>();

/** How often agents of A2A 1.0 have worked on each message, by its id. */
export function getExecutions(): ReadonlyMap<string, number> {
  return executions;
}

const releases = new EventEmitter();

/** Lets the agents finish the tasks of the text `later`. */
export function release(): void {
  releases.emit('release');
}

/** `pushNotifications`: whether the agent sends them. `port`: default: a free one. */
interface SdkAgentOptions {
  pushNotifications?: boolean;
  port?: number;
}

/**
 * @param binding the only one that the card lists
 * @returns the address
 */
export async function startSdkAgent(
  t: Cleanup,
  binding: 'JSONRPC' | 'HTTP+JSON' | 'GRPC',
  { pushNotifications = false, port = 0 }: SdkAgentOptions = {},
): Promise<string> {
  const app = express();
  const url = await listen(t, createServer(app), port);
  const grpc = binding === 'GRPC' ? new GrpcServer() : undefined;
  const address = grpc ? `127.0.0.1:${await bindGrpc(t, grpc)}` : `${url}/a2a`;
  const card = AgentCard.fromJSON({
    ...common,
    capabilities: { ...common.capabilities, pushNotifications },
    supportedInterfaces: [{ url: address, protocolBinding: binding, protocolVersion: '1.0' }],
  });
  const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), executor);
  const parts = { requestHandler, userBuilder: UserBuilder.noAuthentication };
  app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: requestHandler }));
  app.post('/release', (_request, response) => {
    release();
    response.end();
  });
  if (grpc)
    grpc.addService(A2AService, grpcService({ requestHandler, userBuilder: GrpcUsers.noAuthentication }));
  else app.use('/a2a', binding === 'JSONRPC' ? jsonRpcHandler(parts) : restHandler(parts));
  return url;
}

async function bindGrpc(t: Cleanup, server: GrpcServer): Promise<number> {
  t.after(() => server.forceShutdown());
  return new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    ),
  );
}

/** @returns the address */
export async function startV03SdkAgent(
  t: Cleanup,
  { pushNotifications = false, port = 0 }: SdkAgentOptions = {},
): Promise<string> {
  const app = express();
  const url = await listen(t, createServer(app), port);
  app.post('/release', (_request, response) => {
    release();
    response.end();
  });
  const capabilities = { ...common.capabilities, pushNotifications };
  const card = {
    ...common,
    capabilities,
    url: `${url}/a2a`,
    preferredTransport: 'JSONRPC',
    protocolVersion: '0.3.0',
  };
  const requestHandler = new V03RequestHandler(card, new V03TaskStore(), v03Executor);
  app.use('/.well-known/agent-card.json', v03CardHandler({ agentCardProvider: requestHandler }));
  app.use(
    '/a2a',
    v03JsonRpcHandler({
      requestHandler,
      userBuilder: async () => ({ isAuthenticated: false, userName: '' }),
    }),
  );
  return url;
}

const getText = ({ parts: [part] }: Message): string =>
  part?.content?.$case === 'text' ? part.content.value : '';

const ends: Readonly<Record<string, [TaskState, string]>> = {
  ask: [TaskState.TASK_STATE_INPUT_REQUIRED, 'Which city?'],
  authorize: [TaskState.TASK_STATE_AUTH_REQUIRED, 'Sign in first.'],
  fail: [TaskState.TASK_STATE_FAILED, 'no such city'],
  reject: [TaskState.TASK_STATE_REJECTED, 'not my task'],
  'give up': [TaskState.TASK_STATE_CANCELED, 'gave up'],
};

const executor: AgentExecutor = {
  execute: async ({ taskId, contextId, userMessage, task }, bus) => {
    const { messageId } = userMessage;
    executions.set(messageId, (executions.get(messageId) ?? 0) + 1);
    const ids = { taskId, contextId, metadata: undefined };
    const createReply = (reply: string): Message =>
      WireMessage.fromJSON({
        messageId: randomUUID(),
        role: 'ROLE_AGENT',
        taskId,
        contextId,
        parts: [{ text: reply }],
      });
    if (getText(userMessage) === 'message') {
      bus.publish({ kind: 'message', data: createReply('just a message') });
      bus.finished();
      return;
    }
    const update = (state: TaskState, reply?: string): void => {
      const message = reply === undefined ? undefined : createReply(reply);
      bus.publish({
        kind: 'statusUpdate',
        data: { ...ids, status: { state, message, timestamp: undefined } },
      });
    };
    const status = { state: TaskState.TASK_STATE_SUBMITTED, message: undefined, timestamp: undefined };
    const created = {
      id: taskId,
      contextId,
      status,
      artifacts: [],
      history: [userMessage],
      metadata: undefined,
    };
    bus.publish({ kind: 'task', data: task ?? created });
    update(TaskState.TASK_STATE_WORKING);
    const text = getText(userMessage);
    if (text === 'wait') return;
    if (text === 'later') await once(releases, 'release');
    const end = ends[text];
    if (end !== undefined) {
      update(...end);
    } else {
      const parts = text === 'echo' ? [{ data: WireMessage.toJSON(userMessage) }] : undefined;
      for (const [index, word] of ['hello ', 'world'].entries()) {
        if (text === 'half' && index === 1) {
          update(TaskState.TASK_STATE_WORKING, 'half done');
          await once(releases, 'release');
        }
        const artifact = Artifact.fromJSON({ artifactId: 'answer', parts: parts ?? [{ text: word }] });
        bus.publish({
          kind: 'artifactUpdate',
          data: { ...ids, artifact, append: index > 0 && parts === undefined, lastChunk: index > 0 },
        });
      }
      update(TaskState.TASK_STATE_COMPLETED);
    }
    bus.finished();
  },
  cancelTask: async (taskId, bus) => {
    const status = { state: TaskState.TASK_STATE_CANCELED, message: undefined, timestamp: undefined };
    bus.publish({ kind: 'statusUpdate', data: { taskId, contextId: '', status, metadata: undefined } });
    bus.finished();
  },
};

const v03Executor: V03Executor = {
  execute: async ({ taskId, contextId, userMessage, task }, bus) => {
    const ids = { taskId, contextId };
    const update = (state: 'working' | 'input-required' | 'completed', final: boolean): void =>
      bus.publish({ kind: 'status-update', ...ids, status: { state }, final });
    if (task === undefined) {
      bus.publish({
        kind: 'task',
        id: taskId,
        contextId,
        status: { state: 'submitted' },
        history: [userMessage],
      });
    }
    update('working', false);
    const [part] = userMessage.parts;
    const text = part?.kind === 'text' ? part.text : '';
    if (text === 'wait') return;
    if (text === 'later') await once(releases, 'release');
    if (text === 'ask') {
      update('input-required', true);
    } else {
      for (const [index, word] of ['hello ', 'world'].entries()) {
        if (text === 'half' && index === 1) await once(releases, 'release');
        const artifact = { artifactId: 'answer', parts: [{ kind: 'text' as const, text: word }] };
        bus.publish({ kind: 'artifact-update', ...ids, artifact, append: index > 0, lastChunk: index > 0 });
      }
      update('completed', true);
    }
    bus.finished();
  },
  cancelTask: async (taskId, bus) => {
    bus.publish({ kind: 'status-update', taskId, contextId: '', status: { state: 'canceled' }, final: true });
    bus.finished();
  },
};
