/** The output of a turn: artifacts in pieces, and its end. */
import type { Part } from '#shared/domain/message.ts';

export interface ArtifactStream {
  /**
   * Adds a part and returns at once. Adjacent texts are joined.
   *
   * @throws {FatalError} if the part is malformed
   */
  write(part: Part): void;
  /**
   * Writes the rest and marks the last chunk. Resolves when the artifact is stored.
   *
   * @throws the error of a write that failed, such as a `LeaseLostError`
   */
  close(): Promise<void>;
}

/**
 * The end of a turn. `message` becomes the message of the task's status.
 *
 * If another message is waiting when a turn ends as completed, input-required or auth-required, the task
 * stays working and the next turn starts. Failed, rejected and canceled end the task at once.
 */
export type TurnOutcome =
  | { state: 'TASK_STATE_COMPLETED'; message?: Part[] | string }
  | { state: 'TASK_STATE_INPUT_REQUIRED'; message: Part[] | string }
  /**
   * `extensions`: URIs of the A2A extensions that the message uses. `outOfBand`: the credential does not come as an answer
   * of the client, so streams stay open until another message continues the task.
   */
  | {
      state: 'TASK_STATE_AUTH_REQUIRED';
      message: Part[] | string;
      extensions?: string[];
      outOfBand?: boolean;
    }
  | { state: 'TASK_STATE_REJECTED'; message: Part[] | string }
  | { state: 'TASK_STATE_FAILED'; message: Part[] | string }
  /** The work was canceled by the party that does it, such as the agent behind a gateway. Clients cancel by CancelTask. */
  | { state: 'TASK_STATE_CANCELED'; message: Part[] | string }
  /**
   * The answer is this single message, without a task (A2A section 3.1.1). It must be the turn's only output.
   */
  | { direct: Part[] | string };
