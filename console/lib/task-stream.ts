/** How a task changes with the events of its stream. Pure. */
import { foldArtifacts } from '#shared/domain/events.ts';
import type { Message } from '#shared/domain/message.ts';
import type { StreamPayload, Task } from './types.ts';

export interface StreamedTask {
  task: Task | undefined;
  /** Artifacts that are being written: their last chunk has not come. */
  writing: ReadonlySet<string>;
}

export const noTask: StreamedTask = { task: undefined, writing: new Set() };

/** Applies one event. A resumed stream starts with a task without its history, which then stays as it is. */
export function applyPayload({ task, writing }: StreamedTask, payload: StreamPayload): StreamedTask {
  if ('task' in payload) {
    const { history = task?.history } = payload.task;
    return { task: { ...payload.task, ...(history !== undefined && { history }) }, writing };
  }
  if (task === undefined || 'message' in payload) return { task, writing };
  if ('statusUpdate' in payload) {
    const { status, metadata } = payload.statusUpdate;
    const previous = task.status.message;
    const isAnswer = previous !== undefined && task.status.state !== status.state && isInterrupted(task);
    const history = isAnswer ? addMessage(task.history ?? [], previous) : task.history;
    return {
      task: {
        ...task,
        status,
        ...(history !== undefined && { history }),
        ...(metadata !== undefined && { metadata: { ...task.metadata, ...metadata } }),
      },
      writing: status.state === 'TASK_STATE_WORKING' ? writing : new Set(),
    };
  }
  const update = payload.artifactUpdate;
  const next = new Set(writing);
  if (update.lastChunk === true) next.delete(update.artifact.artifactId);
  else if (update.lastChunk === false || update.append === true) next.add(update.artifact.artifactId);
  return { task: { ...task, artifacts: foldArtifacts([update], task.artifacts ?? []) }, writing: next };
}

function isInterrupted({ status }: Task): boolean {
  return status.state === 'TASK_STATE_INPUT_REQUIRED' || status.state === 'TASK_STATE_AUTH_REQUIRED';
}

function addMessage(history: readonly Message[], message: Message): Message[] {
  return history.some(({ messageId }) => messageId === message.messageId)
    ? [...history]
    : [...history, message];
}
