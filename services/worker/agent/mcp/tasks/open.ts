/** The tasks of MCP servers as a turn waits for them: like those of other agents. */
import type { McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import type { Powers } from '#shared/agent/powers.ts';
import type { Artifact, Json, Part } from '#shared/domain/message.ts';
import type { TaskState } from '#shared/domain/task.ts';
import { checkPowers } from '../../check-powers.ts';
import type { McpConnections } from '../connections.ts';
import { describeRequests } from './elicitation.ts';
import type { ToolTask } from './requests.ts';

/** The ids of the artifact with the result of a tool, and of the one with its questions. */
export const resultArtifact = 'result';
export const requestsArtifact = 'requests';

/** A task of a server in the terms of A2A. */
export interface RemoteToolTask {
  state: TaskState;
  /** The parts of its status message. */
  message: Part[];
  artifacts: Artifact[];
  /** The least pause before it is polled again. */
  pollSeconds?: number;
}

/** Requests reject with a RetryableError while the server is unavailable, or with a CredentialsError. */
export interface RemoteToolTasks {
  /** Returns undefined if the server no longer has the task. */
  get(taskId: string, signal: AbortSignal): Promise<RemoteToolTask | undefined>;
  /** Does nothing if the task has ended. */
  cancel(taskId: string, signal: AbortSignal): Promise<void>;
}

export type OpenToolTasks = (name: string, server: McpServerDefinition) => Promise<RemoteToolTasks>;

/** @param powers decide which stored definitions may start processes and get secrets */
export function createToolTasks(connections: McpConnections, powers: Powers): OpenToolTasks {
  return async (name, server) => {
    checkPowers({ agents: {}, mcpServers: { [name]: server }, toolModules: [] }, powers);
    const connection = await connections.get(name, server);
    return {
      get: (taskId, signal) =>
        connection.withTasks(signal, async (tasks) => {
          const task = await tasks.get(taskId, signal);
          if (task === undefined) return undefined;
          const unanswerable = task.status === 'input_required' && !asks(task, server);
          if (unanswerable) await tasks.cancel(taskId, signal);
          return toRemoteTask(task, unanswerable);
        }),
      cancel: (taskId, signal) => connection.withTasks(signal, (tasks) => tasks.cancel(taskId, signal)),
    };
  };
}

/** Whether the user can answer what a task asks: forms, unless the definition has switched them off. */
function asks({ inputRequests = {} }: ToolTask, { elicitation }: McpServerDefinition): boolean {
  const requests = Object.values(inputRequests) as { method?: unknown }[];
  const allForms = requests.every((request) => request?.method === 'elicitation/create');
  return elicitation !== false && requests.length > 0 && allForms;
}

function toRemoteTask(task: ToolTask, unanswerable: boolean): RemoteToolTask {
  const { status, statusMessage, result, error, inputRequests, pollIntervalMs } = task;
  const common = {
    ...(typeof pollIntervalMs === 'number' && pollIntervalMs > 0 && { pollSeconds: pollIntervalMs / 1000 }),
  };
  const say = (text: string | undefined): Part[] => (text === undefined || text === '' ? [] : [{ text }]);
  const keep = (artifactId: string, data: unknown) => [{ artifactId, parts: [{ data: data as Json }] }];
  if (unanswerable) {
    const text = 'The tool asks its user something in a way that this agent does not support.';
    return { ...common, state: 'TASK_STATE_FAILED', message: say(text), artifacts: [] };
  }
  switch (status) {
    case 'completed':
      return {
        ...common,
        state: 'TASK_STATE_COMPLETED',
        message: [],
        artifacts: keep(resultArtifact, result ?? {}),
      };
    case 'failed':
      return {
        ...common,
        state: 'TASK_STATE_FAILED',
        message: say(error?.message ?? statusMessage),
        artifacts: [],
      };
    case 'cancelled':
      return { ...common, state: 'TASK_STATE_CANCELED', message: say(statusMessage), artifacts: [] };
    case 'input_required':
      return {
        ...common,
        state: 'TASK_STATE_INPUT_REQUIRED',
        message: describeRequests(inputRequests ?? {}),
        artifacts: keep(requestsArtifact, inputRequests),
      };
    case 'working':
    default:
      // Also a status of a later revision: the task is polled until it has one that is known.
      return { ...common, state: 'TASK_STATE_WORKING', message: say(statusMessage), artifacts: [] };
  }
}
