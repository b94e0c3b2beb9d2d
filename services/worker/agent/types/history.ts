/** The conversation before a turn, and other tasks, as a turn reads them. */
import type { Artifact, Json, Message, Part } from '#shared/domain/message.ts';
import type { TaskState } from '#shared/domain/task.ts';

/** The conversation before a turn, as far as it was read. */
export interface History {
  /** Oldest first. */
  readonly entries: readonly HistoryEntry[];
  /** False if older turns, or the steps of earlier turns, were left out because of the bounds. */
  readonly complete: boolean;
  /**
   * The turns of this task among them, oldest first, with the results of their steps. The steps of all turns are
   * read up to `MAX_RECORD_BYTES`; older turns then have none.
   */
  readonly earlierTurns: readonly EarlierTurn[];
  /** The tasks that the messages of these turns refer to, in their current state. See `ReferencedTask`. */
  readonly references: readonly ReferencedTask[];
}

/**
 * An earlier message of the user, or the output of one of the agent's turns: its artifacts and its answer.
 */
export interface HistoryEntry {
  readonly taskId: string;
  /** The number of the turn within that task. */
  readonly turn: number;
  readonly role: 'user' | 'agent';
  readonly parts: readonly Part[];
}

/**
 * A task that messages refer to: at most the last 20, with 4 MiB of content together. Deleted tasks are missing.
 */
export interface ReferencedTask {
  readonly taskId: string;
  readonly state: TaskState;
  /** All messages of the task, oldest first. */
  readonly messages: readonly Message[];
  readonly artifacts: readonly Artifact[];
  /** False if its messages and artifacts were left out because of their size. */
  readonly complete: boolean;
}

export interface EarlierTurn {
  readonly number: number;
  readonly message: Message;
  /** The finished steps, in order. `occurrence` counts the steps of the same name, from 0. */
  readonly steps: readonly { name: string; occurrence: number; result: Json }[];
}
