/** Records the intent of a call, and creates the call: as an earlier run of the turn has recorded it, or a new one. */
import { randomBytes } from 'node:crypto';
import type { RemoteAgentDefinition } from '#shared/agent/remote-agents.ts';
import type { Part } from '#shared/domain/message.ts';
import { getAgentPollSeconds, type AgentWait } from '#shared/domain/wait.ts';
import type { CallOptions } from '../../agent/agent.ts';
import type { ReachedStep } from '../record.ts';
import type { RelayedCall } from '../relay/relayed-call.ts';
import type { OpenWait } from '../waits.ts';
import type { Call } from './call.ts';
import type { CallParts } from './parts.ts';
import { createMessage } from './message.ts';

/** When a call is due whose worker dies while it stores chunks. */
const markedSeconds = 60;

export interface NewCall extends CallOptions {
  name: string;
  definition: RemoteAgentDefinition;
  message: Part[] | string;
  timeoutSeconds: number;
  relay: RelayedCall | undefined;
}

interface OpenedCall {
  wait: AgentWait;
  open: OpenWait;
  connect: () => Promise<Call>;
}

export async function openCall(
  parts: CallParts,
  { identity, earlier }: ReachedStep,
  options: NewCall,
): Promise<OpenedCall> {
  const { name, definition, timeoutSeconds, relay } = options;
  const recorded = earlier?.wait;
  const wait: AgentWait =
    recorded?.wait.kind === 'agent'
      ? recorded.wait
      : { kind: 'agent', agent: name, secret: createSecret(), ...relay?.first };
  const token = recorded?.token ?? createSecret();
  const dueInSeconds = Math.min(timeoutSeconds, getAgentPollSeconds(0, false));
  const open = await parts.waits.open(identity, earlier, { wait, dueInSeconds, token }, { timeoutSeconds });
  // Clients of a gateway read what the other agent says.
  if (relay !== undefined) open.known = true;
  const connect = async (): Promise<Call> => {
    const task = wait.task ?? wait.reported;
    return {
      name,
      identity,
      remote: await parts.remote.open(name, definition),
      open,
      wait: task === undefined ? wait : { ...wait, task },
      token,
      timeoutSeconds,
      message: createMessage({ ...parts, lease: parts.held.lease }, identity, {
        ...options,
        ...(relay && { taskId: wait.continues, contextId: wait.context, ...relay.message }),
        wait,
        token,
      }),
      mayBeSent: recorded !== undefined,
      mirror: relay?.openMirror(wait.shown ?? relay.first.shown, (shown) => ({
        ...identity,
        output: null,
        wait: { wait: { kind: 'agent', agent: name, shown }, dueInSeconds: markedSeconds, token },
      })),
      maxResends: relay?.maxResends ?? 0,
      isLively: recorded === undefined,
    };
  };
  return { wait, open, connect };
}

function createSecret(): string {
  return randomBytes(32).toString('base64url');
}
