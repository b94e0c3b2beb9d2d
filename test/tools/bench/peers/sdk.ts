/**
 * The A2A SDK's own server, set up as in its samples: DefaultRequestHandler on Express. With DATABASE_URL its tasks are in
 * PostgreSQL, otherwise in memory. The agent runs in this process, as usual with the SDK. For the text `accept` it returns
 * the submitted task and stops; otherwise the task becomes working and completed, as with our agent.
 */
import { createServer } from 'node:http';
import { AgentCard, TaskState, type Task, type TaskStatusUpdateEvent } from '@a2a-js/sdk';
import { DefaultRequestHandler, InMemoryTaskStore, type AgentExecutor } from '@a2a-js/sdk/server';
import { DatabaseTaskStore } from '@a2a-js/sdk/server/database';
import { jsonRpcHandler, UserBuilder } from '@a2a-js/sdk/server/express';
import express from 'express';
import { Kysely, PostgresDialect } from 'kysely';
import { Pool } from 'pg';

const url = process.env['DATABASE_URL'];
const store =
  url === undefined
    ? new InMemoryTaskStore()
    : new DatabaseTaskStore(
        new Kysely({ dialect: new PostgresDialect({ pool: new Pool({ connectionString: url, max: 20 }) }) }),
      );

const executor: AgentExecutor = {
  execute: async ({ taskId, contextId, userMessage }, bus) => {
    const status = (state: TaskState) => ({ state, message: undefined, timestamp: new Date().toISOString() });
    const task: Task = {
      id: taskId,
      contextId,
      status: status(TaskState.TASK_STATE_SUBMITTED),
      artifacts: [],
      history: [userMessage],
      metadata: undefined,
    };
    bus.publish({ kind: 'task', data: task });
    const content = userMessage.parts[0]?.content;
    if (content?.$case !== 'text' || content.value !== 'accept') {
      for (const state of [TaskState.TASK_STATE_WORKING, TaskState.TASK_STATE_COMPLETED]) {
        const update: TaskStatusUpdateEvent = {
          taskId,
          contextId,
          status: status(state),
          metadata: undefined,
        };
        bus.publish({ kind: 'statusUpdate', data: update });
      }
    }
    bus.finished();
    return Promise.resolve();
  },
  cancelTask: () => Promise.resolve(),
};
const card = AgentCard.fromJSON({
  name: 'peer',
  version: '1',
  capabilities: { streaming: true },
  defaultInputModes: ['text'],
  supportedInterfaces: [{ url: 'http://localhost', protocolBinding: 'JSONRPC', protocolVersion: '1.0' }],
});

const app = express();
app.get('/health/ready', (_request, response) => void response.send('ok'));
app.use(
  '/a2a/jsonrpc',
  jsonRpcHandler({
    requestHandler: new DefaultRequestHandler(card, store, executor),
    userBuilder: UserBuilder.noAuthentication,
  }),
);
createServer(app).listen(Number(process.env['PORT']), '127.0.0.1');
