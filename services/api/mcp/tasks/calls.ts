/** The methods `tasks/…`: those of the Tasks extension (SEP-2663), and the experimental ones of 2025-11-25. */
import { RequestMalformedError, TaskNotCancelableError, UnsupportedOperationError } from '@a2a-js/sdk/errors';
import { getStateClass, stateClass } from '#shared/domain/task.ts';
import { createMissingTasksError, errorCode, McpError } from '../errors.ts';
import { toAnswer } from './input.ts';
import { declaresTasks, relatedTaskKey, showsForms } from '../protocol.ts';
import { toToolResult } from './result.ts';
import { toDetailedTask, toLegacyTask } from './task.ts';
import type { Tasks } from './tasks.ts';
import type { McpCall } from '../tools/calls.ts';

export interface TaskCallsParts {
  tasks: Tasks;
  sendWaitMs: number;
  retentionSeconds: number;
}

type Params = Readonly<Record<string, unknown>>;

export class TaskCalls {
  readonly #parts: TaskCallsParts;

  constructor(parts: TaskCallsParts) {
    this.#parts = parts;
  }

  async get(params: Params, call: McpCall): Promise<object> {
    const { tasks, retentionSeconds } = this.#parts;
    requireTasks(call);
    const task = await tasks.get(readTaskId(params), call.context);
    if (call.era === 'legacy') return toLegacyTask(task, retentionSeconds);
    return toDetailedTask(task, retentionSeconds, showsForms(call.capabilities));
  }

  /** Responses to requests that are not outstanding are ignored. */
  async update(params: Params, call: McpCall): Promise<object> {
    const { tasks } = this.#parts;
    requireTasks(call);
    const { inputResponses } = call;
    if (inputResponses === undefined) {
      throw new McpError(
        errorCode.invalidParams,
        'inputResponses must be an object with a response for each key',
      );
    }
    const task = await tasks.get(readTaskId(params), call.context);
    const answer = toAnswer(task, inputResponses);
    if (answer === undefined) return {};
    try {
      await tasks.send({ ...answer, taskId: task.id }, call.context);
    } catch (error) {
      // Answered before with other content, or ended meanwhile: the responses are too late.
      const isLate = error instanceof RequestMalformedError || error instanceof UnsupportedOperationError;
      if (!isLate) throw error;
    }
    return {};
  }

  async cancel(params: Params, call: McpCall): Promise<object> {
    const { tasks, retentionSeconds } = this.#parts;
    requireTasks(call);
    const id = readTaskId(params);
    try {
      const task = await tasks.cancel(id, call.context);
      return call.era === 'legacy' ? toLegacyTask(task, retentionSeconds) : {};
    } catch (error) {
      // A task that has ended keeps its state, and the request is acknowledged. 2025-11-25 refuses it.
      if (call.era === 'modern' && error instanceof TaskNotCancelableError) return {};
      throw error;
    }
  }

  /** 2025-11-25: the result of a task, once it has ended. */
  async result(params: Params, { context }: McpCall): Promise<object> {
    const { tasks, sendWaitMs } = this.#parts;
    const id = readTaskId(params);
    await tasks.hold(id, context, sendWaitMs);
    const task = await tasks.get(id, context);
    const result = toToolResult(task);
    if (getStateClass(task.status.state) !== stateClass.terminal) {
      const { nextStep = '' } = (result.structuredContent ?? {}) as { nextStep?: string };
      throw new McpError(errorCode.invalidRequest, `The task has no result yet. ${nextStep}`);
    }
    return { ...result, _meta: { [relatedTaskKey]: { taskId: id } } };
  }

  /** 2025-11-25. */
  async list({ cursor }: Params, { context }: McpCall): Promise<object> {
    const { tasks, retentionSeconds } = this.#parts;
    const page = await tasks.list(typeof cursor === 'string' ? { pageToken: cursor } : {}, context);
    return {
      tasks: page.tasks.map((task) => toLegacyTask(task, retentionSeconds)),
      ...(page.nextPageToken !== '' && { nextCursor: page.nextPageToken }),
    };
  }
}

/** @throws {McpError} if the request does not declare the extension (SEP-2663, "Protocol Errors") */
function requireTasks({ era, capabilities }: McpCall): void {
  if (era === 'modern' && !declaresTasks(capabilities)) throw createMissingTasksError();
}

function readTaskId({ taskId }: Params): string {
  if (typeof taskId === 'string' && taskId !== '') return taskId;
  throw new McpError(errorCode.invalidParams, 'taskId must be the id of a task');
}
