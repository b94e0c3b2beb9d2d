/** Creates the stored form of an agent's messages, and of the end of a turn. */
import type { NewEvent, TurnEnd } from '#shared/db/turns/write.ts';
import { outOfBandKey, type EventPayload } from '#shared/domain/events.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { Message, Part } from '#shared/domain/message.ts';
import type { TaskState } from '#shared/domain/task.ts';
import { usageMetadata, type Usage } from '#shared/domain/usage.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { TurnOutcome } from '../agent/agent.ts';

export interface TaskIds {
  taskId: string;
  contextId: string;
}

export function createAgentMessage(
  ids: TaskIds,
  content: readonly Part[] | string,
  extensions?: string[],
): Message {
  return {
    messageId: uuidv7(),
    ...ids,
    role: 'ROLE_AGENT',
    parts: typeof content === 'string' ? [{ text: content }] : [...content],
    ...(extensions !== undefined && { extensions }),
  };
}

/** Returns the time of a new status, ISO 8601: not before that of the last one, which another worker may have set. */
export function getStatusTime(lastStatusAt: Date): string {
  return new Date(Math.max(lastStatusAt.getTime(), databaseNow())).toISOString();
}

/**
 * Creates the event of a status message while the task is working.
 *
 * @param timestamp of the status, ISO 8601
 */
export function createProgressEvent(ids: TaskIds, timestamp: string, message: Message): NewEvent {
  const status = { state: 'TASK_STATE_WORKING', message, timestamp } as const;
  const payload: EventPayload = { statusUpdate: { ...ids, status } };
  return { kind: 'progress', payload: JSON.stringify(payload), statusMessage: JSON.stringify(message) };
}

/**
 * Creates the end of a turn with two events: one for its own end, and one that the gate stores instead if a
 * message waits for the next turn.
 *
 * @param lastStatusAt the time of the last status
 * @param error the cause of a failure, for operators; null: none
 */
export function createTurnEnd(
  ids: TaskIds,
  lastStatusAt: Date,
  outcome: TurnOutcome,
  error: string | null,
  usage: Usage | undefined,
): TurnEnd {
  const direct = 'direct' in outcome;
  const state = direct ? 'TASK_STATE_COMPLETED' : outcome.state;
  const content = direct ? outcome.direct : outcome.message;
  const extensions = 'extensions' in outcome ? outcome.extensions : undefined;
  const message = content === undefined ? undefined : createAgentMessage(ids, content, extensions);
  const outOfBand = 'outOfBand' in outcome && (outcome.outOfBand ?? false);
  const metadata =
    usage === undefined && !outOfBand
      ? undefined
      : { ...(usage && usageMetadata(usage)), ...(outOfBand && { [outOfBandKey]: true }) };
  const statusAt = getStatusTime(lastStatusAt);
  const createStatusEvent = (state: TaskState): EventPayload => ({
    statusUpdate: {
      ...ids,
      status: { state, timestamp: statusAt, ...(message !== undefined && { message }) },
      ...(metadata !== undefined && { metadata }),
    },
  });
  return {
    kind: 'end',
    state,
    payload: JSON.stringify(createStatusEvent(state)),
    payloadIfContinued: JSON.stringify(createStatusEvent('TASK_STATE_WORKING')),
    statusAt,
    message: message === undefined ? null : JSON.stringify(message),
    direct,
    error,
  };
}
