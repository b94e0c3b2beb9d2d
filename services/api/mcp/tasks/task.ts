/** Converts tasks of A2A to those of MCP, in the form of both revisions. */
import { getUuidTime } from '#shared/domain/ids.ts';
import { textOf } from '#shared/domain/message.ts';
import { isTerminal, type TaskState } from '#shared/domain/task.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { toInputRequests } from './input.ts';
import type { DetailedMcpTask, LegacyMcpTask, McpTask, McpTaskStatus, TaskJson } from '../protocol.ts';
import { toToolResult } from './result.ts';

/** A failed task is a result with `isError`: `failed` is for errors of the protocol (SEP-2663, "Task Execution Errors"). */
const statuses: Readonly<Record<TaskState, McpTaskStatus>> = {
  TASK_STATE_SUBMITTED: 'working',
  TASK_STATE_WORKING: 'working',
  TASK_STATE_INPUT_REQUIRED: 'input_required',
  TASK_STATE_AUTH_REQUIRED: 'input_required',
  TASK_STATE_COMPLETED: 'completed',
  TASK_STATE_FAILED: 'completed',
  TASK_STATE_REJECTED: 'completed',
  TASK_STATE_CANCELED: 'cancelled',
};

/** By the age of the task in seconds: what is young may end soon. */
const pollIntervals: readonly [maxAgeSeconds: number, intervalMs: number][] = [
  [10, 1_000],
  [60, 2_000],
  [600, 5_000],
  [3_600, 15_000],
  [Infinity, 60_000],
];

/** @param retentionSeconds how long a task is kept after its end; 0: for ever */
export function toMcpTask({ id, status }: TaskJson, retentionSeconds: number): McpTask {
  const { state, message, timestamp } = status;
  const createdAt = getUuidTime(id);
  const ageSeconds = Math.max(0, databaseNow() - createdAt) / 1000;
  const text = message === undefined ? '' : textOf(message.parts);
  return {
    taskId: id,
    status: statuses[state],
    ...(text !== '' && { statusMessage: text }),
    createdAt: new Date(createdAt).toISOString(),
    lastUpdatedAt: timestamp,
    // The retention starts at the end of a task. One that has not ended is kept at least that long from its last change.
    ttlMs:
      retentionSeconds === 0
        ? null
        : Math.max(0, Date.parse(timestamp) - createdAt) + Math.round(retentionSeconds * 1000),
    pollIntervalMs: pollIntervals.find(([maxAgeSeconds]) => ageSeconds < maxAgeSeconds)?.[1] ?? 60_000,
  };
}

/** @param forms whether the client shows forms; without them it answers by the tool `answer_task` */
export function toDetailedTask(task: TaskJson, retentionSeconds: number, forms: boolean): DetailedMcpTask {
  const mcpTask = toMcpTask(task, retentionSeconds);
  switch (mcpTask.status) {
    case 'input_required':
      return { ...mcpTask, inputRequests: forms ? toInputRequests(task) : {} };
    case 'completed':
      return { ...mcpTask, result: { resultType: 'complete', ...toToolResult(task) } };
    case 'working':
    case 'cancelled':
    case 'failed':
      return mcpTask;
    default:
      return mcpTask.status satisfies never;
  }
}

/** In 2025-11-25 a task whose result is an error has failed ("Task Execution Errors"). */
export function toLegacyTask(task: TaskJson, retentionSeconds: number): LegacyMcpTask {
  const { ttlMs, pollIntervalMs, ...rest } = toMcpTask(task, retentionSeconds);
  const { state } = task.status;
  const failed = isTerminal(state) && toToolResult(task).isError === true && rest.status === 'completed';
  return { ...rest, status: failed ? 'failed' : rest.status, ttl: ttlMs, pollInterval: pollIntervalMs };
}
