/** Tasks in memory, as tests see them: no types of the system below are part of them. */
import type { Agent, ReferencedTask } from '#services/worker/agent/agent.ts';
import type { Artifact, Json, JsonObject, Message, Part } from '#shared/domain/message.ts';
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

/** A step of a turn as the record has it. */
export interface TestStep {
  /** The name and the number among the steps of that name, from 1: `fetch#1`. */
  key: string;
  name: string;
  /** Null if the step is not finished, or has no result. */
  result: Json;
  /** False: it has started, or it is a wait that is open. */
  finished: boolean;
}

/** A task in memory: its turns, its record and its output. */
export interface TestTask {
  /** May be replaced between two runs, as a deploy does. */
  agent: Agent;
  readonly id: string;
  readonly contextId: string;
  readonly state: TaskState;
  /** The number of the current turn, from 1. */
  readonly turn: number;
  /** The message of the status, such as an error or a question. */
  readonly message: Message | undefined;
  /** The text of the status message; empty if there is none. */
  readonly messageText: string;
  /** The steps of the current turn, in the order in which the agent reached them. */
  readonly steps: TestStep[];
  /** The artifacts as clients see them. */
  readonly artifacts: Artifact[];
  /** The texts of the progress messages of the current turn. */
  readonly progress: string[];
  /** The text of an artifact; undefined if there is none of this id. */
  getText(artifactId: string): string | undefined;
  /**
   * Runs the current turn from its start, with its record so far. Sleeps take no time.
   *
   * @throws {Error} if the task has ended, or `crashAfter` names a step that was not recorded in this run
   */
  run(options?: RunOptions): Promise<TestRun>;
  /**
   * Answers a callback, as a POST to its URL. The next run returns it.
   *
   * @throws {Error} if no such callback is open
   */
  answer(name: string, body: Json): void;
  /** Lets the time of a callback run out. */
  timeOut(name: string): void;
  /**
   * Sends the next message to a task that waits for its caller, and starts its next turn.
   *
   * @throws {Error} if the task does not wait for a message
   */
  send(message: Part[] | string): void;
}
