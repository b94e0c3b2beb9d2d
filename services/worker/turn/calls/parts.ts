/** The turn that calls other agents. */
import type { RemoteAgentDefinition } from '#shared/agent/remote-agents.ts';
import type { NewStep } from '#shared/db/turns/write.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import type { AgentWait } from '#shared/domain/wait.ts';
import type { CallResult } from '../../agent/agent.ts';
import type { RemoteAgents } from '../../agent/remote/agent.ts';
import type { HeldLease } from '../lease-heartbeat.ts';
import type { StepIdentity } from '../record.ts';
import type { Waits } from '../waits.ts';

export interface CallParts {
  held: HeldLease;
  /** Aborts when nothing more should start. */
  releaseSignal: AbortSignal;
  remote: RemoteAgents;
  /** The agents of the definition. */
  agents: Record<string, RemoteAgentDefinition>;
  maxHops: number;
  /** Metadata of the request that created the task. */
  metadata: JsonObject;
  waits: Waits;
  /** Base URL of notifications; undefined: there are none. */
  publicUrl: string | undefined;
  store: (step: NewStep) => Promise<void>;
  /** Replaces an open wait. */
  replace: (step: StepIdentity, wait: { wait: AgentWait; dueInSeconds: number }) => Promise<void>;
  /** Records the end of a call. */
  record: (step: NewStep, result: CallResult) => Promise<void>;
}
