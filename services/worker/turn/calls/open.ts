/** Connects the calls of a turn with the other agents, under the lease of the turn. */
import { getMaxHops } from '#shared/agent/hops.ts';
import { readMcpServers } from '#shared/agent/mcp-servers.ts';
import { readRemoteAgents } from '#shared/agent/gateway.ts';
import type { TurnInput } from '#shared/db/turns/input/input.ts';
import type { Lease } from '#shared/db/turns/leases.ts';
import type { AgentWait } from '#shared/domain/wait.ts';
import type { OpenToolTasks } from '../../agent/mcp/tasks/open.ts';
import type { RemoteAgents } from '../../agent/remote/agent.ts';
import type { StepIdentity } from '../record.ts';
import { Calls } from './calls.ts';
import type { CallParts } from './parts.ts';
import { ToolTasks } from './tool-tasks.ts';

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

export interface OpenedCalls {
  calls: Calls;
  toolTasks: ToolTasks;
}

export type OpenTurnCalls = (turn: TurnOfCalls) => OpenedCalls;

/**
 * @param recordWait replaces the wait of an open call (shared/db/calls/record.ts)
 * @param openToolTasks if omitted, tools of MCP servers cannot answer with tasks
 */
export function createTurnCalls(
  remote: RemoteAgents,
  recordWait: RecordCallWait,
  openToolTasks?: OpenToolTasks,
): OpenTurnCalls {
  return ({ input, retry, ...turn }) => {
    const replace: CallParts['replace'] = (step, wait) =>
      retry(() => recordWait(turn.held.lease, step, wait));
    const calls = new Calls({
      ...turn,
      remote,
      agents: readRemoteAgents(input.definition),
      maxHops: getMaxHops(input.definition),
      metadata: input.metadata,
      replace,
    });
    const mcpServers = readMcpServers(input.definition);
    return { calls, toolTasks: new ToolTasks({ ...turn, replace, mcpServers, openToolTasks }) };
  };
}
