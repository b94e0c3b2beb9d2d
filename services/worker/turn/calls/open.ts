/** Connects the calls of a turn with the other agents, under the lease of the turn. */
import { getMaxHops } from '#shared/agent/hops.ts';
import { readRemoteAgents } from '#shared/agent/gateway.ts';
import type { TurnInput } from '#shared/db/turns/input.ts';
import type { Lease } from '#shared/db/turns/leases.ts';
import type { AgentWait } from '#shared/domain/wait.ts';
import type { RemoteAgents } from '../../agent/remote/agent.ts';
import type { StepIdentity } from '../record.ts';
import { Calls } from './calls.ts';
import type { CallParts } from './parts.ts';

export type RecordCallWait = (
  lease: Lease,
  step: StepIdentity,
  wait: { wait: AgentWait; dueInSeconds: number },
) => Promise<void>;

export interface TurnOfCalls extends Pick<
  CallParts,
  'held' | 'releaseSignal' | 'waits' | 'publicUrl' | 'store' | 'record'
> {
  input: TurnInput;
  retry: <T>(operation: () => Promise<T>) => Promise<T>;
}

export type OpenTurnCalls = (turn: TurnOfCalls) => Calls;

/** @param recordWait replaces the wait of an open call (shared/db/calls/record.ts) */
export function createTurnCalls(remote: RemoteAgents, recordWait: RecordCallWait): OpenTurnCalls {
  return ({ input, retry, ...turn }) =>
    new Calls({
      ...turn,
      remote,
      agents: readRemoteAgents(input.definition),
      maxHops: getMaxHops(input.definition),
      metadata: input.metadata,
      replace: (step, wait) => retry(() => recordWait(turn.held.lease, step, wait)),
    });
}
