/**
 * Requests about the tasks of an MCP server: of the extension (SEP-2663), or the experimental ones of 2025-11-25. The revision
 * of the connection decides.
 */
import {
  ProtocolError,
  type CallToolResult,
  type Client,
  type StandardSchemaV1,
  type Tool,
} from '@modelcontextprotocol/client';
import type { JsonObject } from '#shared/domain/message.ts';

export const tasksExtension = 'io.modelcontextprotocol/tasks';

/** A task of an MCP server, in the terms of the extension. */
export interface ToolTask {
  status: 'working' | 'input_required' | 'completed' | 'cancelled' | 'failed';
  statusMessage?: string;
  pollIntervalMs?: number;
  result?: CallToolResult;
  error?: { message?: string };
  /** Undefined: the server asks in another way, which is not supported. */
  inputRequests?: JsonObject;
}

/** Tasks of 2025-11-25 name the interval `pollInterval`. */
interface FoundTask extends ToolTask {
  pollInterval?: unknown;
}

export interface TaskRequests {
  /** Returns undefined if the server no longer has the task. */
  get(taskId: string, signal: AbortSignal): Promise<ToolTask | undefined>;
  update(taskId: string, inputResponses: JsonObject, signal: AbortSignal): Promise<void>;
  /** Does nothing if the task has ended. */
  cancel(taskId: string, signal: AbortSignal): Promise<void>;
}

/** Answers of a server are read field by field. */
const anyResult: StandardSchemaV1<unknown, unknown> = {
  '~standard': { version: 1, vendor: 'longhaul', validate: (value) => ({ value }) },
};

/** An unknown task (2025-11-25 and SEP-2663, "Protocol Errors"). */
const invalidParams = -32_602;

/** Whether the call of a tool asks for a task. Servers of the extension decide that themselves. */
export function startsTask(client: Client, { execution }: Tool): boolean {
  const { taskSupport } = (execution ?? {}) as { taskSupport?: string };
  if (isModern(client) || taskSupport === undefined || taskSupport === 'forbidden') return false;
  const { tasks } = (client.getServerCapabilities() ?? {}) as {
    tasks?: { requests?: { tools?: { call?: object } } };
  };
  return tasks?.requests?.tools?.call !== undefined;
}

export function createTaskRequests(client: Client, timeout: number): TaskRequests {
  const request = (method: string, params: JsonObject, signal: AbortSignal): Promise<unknown> =>
    client.request({ method, params }, anyResult, { signal, timeout });

  async function orUndefined<T>(run: () => Promise<T>): Promise<T | undefined> {
    try {
      return await run();
    } catch (error) {
      if (error instanceof ProtocolError && error.code === invalidParams) return undefined;
      throw error;
    }
  }

  return {
    get: (taskId, signal) =>
      orUndefined(async () => {
        const found = (await request('tasks/get', { taskId }, signal)) as FoundTask;
        if (isModern(client)) return found;
        const { pollInterval, ...task } = found;
        const ended = task.status === 'completed' || task.status === 'failed';
        // The result of a task that has failed may be an error of its tool, or there may be none.
        const result = ended
          ? await request('tasks/result', { taskId }, signal).catch((error: unknown) => {
              if (error instanceof ProtocolError && task.status === 'failed') return undefined;
              throw error;
            })
          : undefined;
        return {
          ...task,
          ...(typeof pollInterval === 'number' && { pollIntervalMs: pollInterval }),
          ...(result !== undefined && { status: 'completed' as const, result: result as CallToolResult }),
        };
      }),
    update: async (taskId, inputResponses, signal) => {
      await orUndefined(() => request('tasks/update', { taskId, inputResponses }, signal));
    },
    cancel: async (taskId, signal) => {
      await orUndefined(() => request('tasks/cancel', { taskId }, signal));
    },
  };
}

function isModern(client: Client): boolean {
  return client.getProtocolEra() === 'modern';
}
