/** A call of another agent that the turn has reached. */
import { getStateClass, stateClass } from '#shared/domain/task.ts';
import type { AgentWait } from '#shared/domain/wait.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { RemoteAgent, RemoteMessage, RemoteTask } from '../../agent/remote/agent.ts';
import type { StepIdentity } from '../record.ts';
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
}

export interface KnownTask {
  id: string;
  notifies: boolean;
}

/** The secret is kept only for an agent that notifies. */
export function withTask(call: Call, { id, notifies }: KnownTask): Call {
  const { secret, ...rest } = call.wait;
  return { ...call, wait: { ...rest, task: id, ...(notifies && secret !== undefined && { secret }) } };
}

export function isSettled({ state }: RemoteTask): boolean {
  return getStateClass(state) !== stateClass.runnable;
}

export function getAgeSeconds({ since }: OpenWait): number {
  return (databaseNow() - since.getTime()) / 1000;
}
