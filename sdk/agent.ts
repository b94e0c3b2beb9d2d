/** `longhaul/agent`: the interface of an agent that is written in code, and the errors that it may throw. */
import type { Agent } from '#services/worker/agent/agent.ts';

/** Returns the agent: in plain JavaScript too, editors then know its methods and the type of `turn`. */
export function defineAgent(agent: Agent): Agent {
  return agent;
}

export type { CodeDefinition } from '#shared/agent/code-definition.ts';
export { textOf } from '#shared/domain/message.ts';
export { FatalError, ParkedError, RetryableError } from '#shared/domain/errors.ts';
export type {
  Agent,
  ArtifactStream,
  Callback,
  CallbackOptions,
  CallOptions,
  CallResult,
  CallStatus,
  ChildTasks,
  EarlierSteps,
  EarlierTurn,
  History,
  HistoryEntry,
  JoinedChild,
  JoinOptions,
  JoinResult,
  ReferencedTask,
  SpawnOptions,
  StateEntry,
  StateLog,
  StepContext,
  StepOptions,
  StepRetries,
  Turn,
  TurnOutcome,
} from '#services/worker/agent/agent.ts';
export type { Artifact, Json, JsonObject, Message, Part } from '#shared/domain/message.ts';
export type { TaskState } from '#shared/domain/task.ts';
export type { ModelUsage } from '#shared/domain/usage.ts';
export type { CallbackResult } from '#shared/domain/wait.ts';
