/** The results of calls of other agents, as they are recorded. */
import { textOf, type Artifact, type Part } from '#shared/domain/message.ts';
import { measure } from '#shared/domain/sizes.ts';
import type { CallResult, CallStatus } from '../../agent/agent.ts';
import type { RemoteTask } from '../../agent/remote/agent.ts';

/** The most content of a result, in bytes of JSON. */
const maxResultBytes = 4 * 1024 * 1024;

const statuses: Partial<Record<RemoteTask['state'], CallStatus>> = {
  TASK_STATE_COMPLETED: 'completed',
  TASK_STATE_FAILED: 'failed',
  TASK_STATE_REJECTED: 'rejected',
  TASK_STATE_CANCELED: 'canceled',
  TASK_STATE_INPUT_REQUIRED: 'input_required',
  TASK_STATE_AUTH_REQUIRED: 'auth_required',
};

/**
 * @param task one that has ended, or waits for its caller
 * @param isShown its artifacts are those of our task already
 */
export function toResult(task: RemoteTask, isShown = false): CallResult {
  const { id: taskId, contextId, state, message, extensions } = task;
  const artifacts = isShown ? [] : [...task.artifacts];
  const result = createResult(statuses[state] ?? 'failed', message, { taskId, contextId, artifacts });
  return isShown && extensions.length > 0 ? { ...result, extensions } : result;
}

export function createResult(
  status: CallStatus,
  message: Part[] | string,
  { taskId, contextId, artifacts = [] }: { taskId?: string; contextId?: string; artifacts?: Artifact[] } = {},
): CallResult {
  return {
    status,
    ...(taskId !== undefined && { taskId }),
    ...(contextId !== undefined && contextId !== '' && { contextId }),
    message: typeof message === 'string' ? [{ text: message }] : message,
    artifacts,
    complete: true,
  };
}

/** Leaves out artifacts that do not fit into a record, the last ones first, and then a message that does not. */
export function fitResult(result: CallResult): CallResult {
  if (measure(result) <= maxResultBytes) return result;
  const kept: Artifact[] = [];
  const fits = measure(result.message) <= maxResultBytes / 2;
  const message = fits ? result.message : [{ text: textOf(result.message).slice(0, maxResultBytes / 16) }];
  let left = maxResultBytes - measure(message);
  for (const artifact of result.artifacts) {
    left -= measure(artifact);
    if (left < 0) break;
    kept.push(artifact);
  }
  return { ...result, message, artifacts: kept, complete: false };
}
