/** A call of another agent that the turn has reached. */
import { getStateClass, stateClass } from '#shared/domain/task.ts';
import type { AgentWait } from '#shared/domain/wait.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { RemoteAgent, RemoteMessage, RemoteTask } from '../../agent/remote/agent.ts';
import type { StepIdentity } from '../record.ts';
import type { Mirror } from '../relay/mirror.ts';
import type { OpenWait } from '../waits.ts';

export interface Call {
  name: string;
  identity: StepIdentity;
  remote: RemoteAgent;
  open: OpenWait;
  /** Without a task, the message is sent when the wait is due. */
  wait: AgentWait;
  token: string;
  timeoutSeconds: number;
  message: RemoteMessage;
  /** An earlier run of the turn may have sent the message. */
  mayBeSent: boolean;
  /** Shows the output of the task as that of ours. For gateways. */
  mirror: Mirror | undefined;
  /** How often the message may be sent again because its task was lost. */
  maxResends: number;
  /** The task has brought something, or is new, so that its stream is worth a slot. */
  isLively: boolean;
}

/** Returns the wait as it is stored. */
export function toStored({ wait, mirror }: Call): AgentWait {
  return mirror === undefined ? wait : { ...wait, shown: mirror.shown };
}

export interface KnownTask {
  id: string;
  notifies: boolean;
  /** The conversation of the task, as the other agent names it. */
  contextId?: string;
}

/** The secret is kept only for an agent that notifies, and the conversation for a gateway. */
export function withTask(call: Call, { id, notifies, contextId = '' }: KnownTask): Call {
  const { secret, ...rest } = call.wait;
  const context = call.mirror !== undefined && contextId !== '' ? { context: contextId } : {};
  const notified = notifies && secret !== undefined ? { secret } : {};
  return { ...call, wait: { ...rest, ...context, ...notified, task: id } };
}

/** For an answer that is a single message. */
export function withAnswer(call: Call, contextId: string): Call {
  return call.mirror === undefined || contextId === ''
    ? call
    : { ...call, wait: { ...call.wait, context: contextId } };
}

/** Some agents answer a message with the task as it was before, which waits for that message. */
export function mayBeStale({ taskId }: RemoteMessage, { state }: RemoteTask): boolean {
  return taskId !== undefined && getStateClass(state) === stateClass.interrupted;
}

export function isSettled({ state }: RemoteTask): boolean {
  return getStateClass(state) !== stateClass.runnable;
}

export function getAgeSeconds({ since }: OpenWait): number {
  return (databaseNow() - since.getTime()) / 1000;
}
