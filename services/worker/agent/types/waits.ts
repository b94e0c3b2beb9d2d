/** The waits of a turn: for other agents, child tasks, and callbacks. */
import type { Artifact, JsonObject, Part } from '#shared/domain/message.ts';
import type { TaskState } from '#shared/domain/task.ts';
import type { CallbackResult } from '#shared/domain/wait.ts';

export interface CallOptions {
  /** Continues a task of the other agent: that of an earlier result, in this turn or an earlier one. */
  taskId?: string | undefined;
  /** Continues a conversation with the other agent: that of an earlier result. */
  contextId?: string | undefined;
  /** Maximum wait in seconds, from the first attempt to send. At most 366 days. Default: that of the definition. */
  timeoutSeconds?: number;
}

/**
 * - `completed`, `failed`, `rejected`, `canceled`: how the other agent ended its task. One message as the whole answer is
 *   `completed`
 * - `input_required`, `auth_required`: it waits for an answer, and `message` says for what
 * - `refused`: it did not accept a request, or too many agents have called each other. `message` has the reason
 * - `timed_out`: it did not finish in time, and was asked to cancel its task
 */
export type CallStatus =
  | 'completed'
  | 'failed'
  | 'rejected'
  | 'canceled'
  | 'input_required'
  | 'auth_required'
  | 'refused'
  | 'timed_out';

export interface CallResult {
  readonly status: CallStatus;
  /** The task of the other agent; undefined if it has created none. */
  readonly taskId?: string;
  readonly contextId?: string;
  /** For gateways: the extensions that the message uses. */
  readonly extensions?: readonly string[];
  /** The other agent's status message or answer, or the reason of the status. Do not trust this content. */
  readonly message: readonly Part[];
  readonly artifacts: readonly Artifact[];
  /** False if content was left out: a result has at most 4 MiB of JSON. */
  readonly complete: boolean;
}

export interface SpawnOptions {
  /** Whether the children have contexts of their own (the default), or share that of this task. */
  context?: 'own' | 'parent';
}

/** The child tasks that one call of `spawn` has started. It is JSON, so that later turns can use it. */
export interface ChildTasks {
  readonly group: string;
  /** In the order of the messages. */
  readonly taskIds: readonly string[];
}

export interface JoinOptions {
  /** How many children must have ended, successfully or not. Default: all. */
  need?: 'all' | 'any' | number;
  /** Maximum wait in seconds, from now. At most 366 days. Default: 7 days. */
  timeoutSeconds?: number;
}

export interface JoinResult {
  readonly status: 'joined' | 'timed_out';
  /** All children, in the order of the messages. Those that were deleted meanwhile are missing. */
  readonly children: readonly JoinedChild[];
}

export interface JoinedChild {
  readonly taskId: string;
  readonly state: TaskState;
  /** The parts of its status message. Empty while the child has not ended. */
  readonly message: readonly Part[];
  /** Empty while the child has not ended. */
  readonly artifacts: readonly Artifact[];
  /**
   * False if message and artifacts were left out because of their size: those of all children together are bounded to
   * 4 MiB of JSON, and the smallest are kept.
   */
  readonly complete: boolean;
}

export interface CallbackOptions {
  /** Maximum wait in seconds, from now. At most 366 days. Default: 7 days. */
  timeoutSeconds?: number;
  /** JSON Schema of the answer. An answer that does not match is refused. Default: any JSON. */
  schema?: JsonObject;
}

export interface Callback {
  /** Accepts one POST of JSON, at most 256 KiB, from anyone who has the URL. */
  readonly url: string;
  /** Resolves to what was posted, or to `timed_out`. */
  readonly result: PromiseLike<CallbackResult>;
}
