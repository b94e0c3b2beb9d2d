/** The options of a task in memory, and what its runs return. */
import type { ReferencedTask } from '#services/worker/agent/agent.ts';
import type { Artifact, Json, JsonObject, Part } from '#shared/domain/message.ts';
import type { TaskState } from '#shared/domain/task.ts';

/** The answer of another agent. */
export interface TestAgentAnswer {
  /** One in which a task has ended, or waits for its caller. Default: `TASK_STATE_COMPLETED`. */
  state?: Exclude<TaskState, 'TASK_STATE_SUBMITTED' | 'TASK_STATE_WORKING'>;
  message?: Part[] | string;
  artifacts?: Artifact[];
}

/** A message to another agent. `taskId` and `contextId`: those that it continues. */
export interface TestAgentMessage {
  text: string;
  parts: readonly Part[];
  /** The same each time that the message is sent. */
  messageId: string;
  taskId: string | undefined;
  contextId: string | undefined;
  metadata: JsonObject;
}

/** Another agent: its answer, or a function that returns it. A text is the message of a completed task. */
export type TestAgent =
  | string
  | TestAgentAnswer
  | ((message: TestAgentMessage) => string | TestAgentAnswer | Promise<string | TestAgentAnswer>);

export interface TestTaskOptions {
  /** The message that starts the task. */
  message: Part[] | string;
  /** The definition of a YAML agent. Default: empty. */
  definition?: JsonObject;
  /** Metadata of the request that creates the task. */
  metadata?: JsonObject;
  acceptedOutputModes?: string[];
  references?: ReferencedTask[];
  /** Answers to callbacks, by the name of the callback. Others wait for `answer`. */
  answers?: Readonly<Record<string, Json>>;
  /** The other agents that `turn.call` reaches, by name. They need no entry in the definition. */
  agents?: Readonly<Record<string, TestAgent>>;
  owner?: string;
  tenant?: string;
  /** `MAX_ATTEMPTS` of the worker. Default: 5. */
  maxAttempts?: number;
}

export interface RunOptions {
  /** A step, as `name` (its first occurrence) or `name#2`: the process dies right after its result is recorded. */
  crashAfter?: string;
}

/** A run of a turn, from its start. */
export interface TestRun {
  /**
   * - `ended`: the turn has ended
   * - `waiting`: for a callback that has no answer
   * - `retrying`: the agent has thrown an error, and runs again after `delaySeconds`
   * - `crashed`: by `crashAfter`
   */
  end: 'ended' | 'waiting' | 'retrying' | 'crashed';
  /** The steps that were recorded in this run, in order: `['fetch#1', 'store#1']`. */
  ran: string[];
  /** The open waits, first due first. */
  waits: { name: string; kind: 'sleep' | 'callback' | 'children' | 'agent'; url?: string }[];
  /** The error that the agent has thrown. */
  error: unknown;
  /** Only of a run that is retrying. */
  delaySeconds: number | undefined;
}
