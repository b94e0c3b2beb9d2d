/** Other A2A agents as a turn sees them: over the network (connection.ts), or in memory for tests. */
import type { RemoteAgentDefinition } from '#shared/agent/remote-agents.ts';
import { RetryableError } from '#shared/domain/errors.ts';
import type { Artifact, JsonObject, Message, Part } from '#shared/domain/message.ts';
import type { TaskState } from '#shared/domain/task.ts';

/** The other agent has answered, and does not accept the request. Its message goes to the model, or to the agent in code. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  /** The agent has refused the message itself, by an error of A2A: its answer is not malformed. */
  readonly byAgent: boolean;
  constructor(message: string, { byAgent = false, ...options }: ErrorOptions & { byAgent?: boolean } = {}) {
    super(message, options);
    this.byAgent = byAgent;
  }
}

/** The other agent has too much to do, and says when to ask again. */
export class BusyError extends RetryableError {
  readonly retryAfterSeconds: number;
  constructor(message: string, retryAfterSeconds: number, options?: ErrorOptions) {
    super(message, options);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export interface RemoteMessage {
  /** The same each time that the message is sent. */
  messageId: string;
  parts: Part[];
  /** The task of the other agent that it continues. */
  taskId?: string | undefined;
  contextId?: string | undefined;
  /** Metadata of the request. */
  metadata: JsonObject;
  /** Other fields of the message. */
  more?: Pick<Message, 'metadata' | 'extensions'> | undefined;
  /** Media types that are accepted in the answer. Default: all. */
  acceptedOutputModes?: readonly string[] | undefined;
  /** Where the other agent may send notifications, and what they must carry. Undefined: nowhere. */
  notify: { url: string; secret: string } | undefined;
}

export interface RemoteTask {
  id: string;
  contextId: string;
  state: TaskState;
  /** The parts of its status message. */
  message: Part[];
  /** The extensions that its status message uses. */
  extensions: readonly string[];
  artifacts: readonly Artifact[];
}

/** An event of the stream of a task. The first one is the task. */
export type RemoteEvent =
  | { task: RemoteTask }
  | { status: Pick<RemoteTask, 'state' | 'message' | 'extensions'> }
  | { artifact: Artifact; append: boolean; lastChunk: boolean };

/** An agent answers with a task, or with a single message. `notifies`: it has accepted where to send notifications. */
export type Sent =
  | { task: RemoteTask; notifies: boolean }
  | { task?: undefined; message: Part[]; contextId: string };

/** The part of a card that describes an agent to the model. */
export interface RemoteCard {
  name: string;
  description: string;
  skills: readonly { id: string; name: string; description: string }[];
}

/**
 * Requests reject with a RefusedError, with a RetryableError while the agent is unavailable (a BusyError if it asks to
 * wait), or with a CredentialsError.
 */
export interface RemoteAgent {
  /** Returns undefined if the card cannot be read now. Never rejects. */
  describe(): Promise<RemoteCard | undefined>;
  send(message: RemoteMessage, signal: AbortSignal): Promise<Sent>;
  /**
   * Looks for the task that a message has started or continued. Returns undefined if the agent does not show one: it may
   * not list tasks, or not have received the message.
   */
  find(
    message: RemoteMessage,
    signal: AbortSignal,
  ): Promise<{ taskId: string; notifies: boolean } | undefined>;
  /** Returns undefined if the agent no longer has the task. */
  get(taskId: string, signal: AbortSignal): Promise<RemoteTask | undefined>;
  /**
   * Reads the stream of a task until it ends. Undefined if the agent has no streams. Rejects if the stream breaks, does not
   * start with the task, or brings something else.
   */
  follow(taskId: string, signal: AbortSignal): Promise<AsyncIterable<RemoteEvent> | undefined>;
  /** Reads the card, in the form of A2A 1.0. @throws {RefusedError} if it is not valid */
  readCard(signal: AbortSignal): Promise<JsonObject>;
  /** Does nothing if the task has ended, or cannot be canceled. */
  cancel(taskId: string, signal: AbortSignal): Promise<void>;
}

export interface RemoteAgents {
  open(name: string, definition: RemoteAgentDefinition): Promise<RemoteAgent>;
}
