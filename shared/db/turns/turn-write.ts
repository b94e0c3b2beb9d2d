/** Types of the writes of turns (write.ts). */
import type { EventKind } from '../../domain/events.ts';
import type { TurnEndState } from '../../domain/task.ts';
import type { ModelUsage, Usage } from '../../domain/usage.ts';
import type { Wait } from '../../domain/wait.ts';
import type { Lease } from './leases.ts';

export interface NewEvent {
  kind: Exclude<EventKind, 'state'>;
  /** JSON. */
  payload: string;
  /** JSON of a progress message: it becomes the task's status message. */
  statusMessage?: string;
  /**
   * The artifact of the event. If the event completes it, `whole` is the artifact's JSON as of this event.
   */
  artifact?: { artifactId: string; whole?: string };
}

export interface NewStep {
  name: string;
  occurrence: number;
  /** The place of the step among all steps of its turn, from 0. */
  position: number;
  inputHash: string | null;
  /** JSON; null if the step has started and not finished. */
  output: string | null;
  /** How long the step ran, if it is recorded only now that it has finished. */
  seconds?: number;
  /** Usage of a model call. The ledger counts it when the step is recorded. */
  usage?: ModelUsage;
  wait?: NewWait;
}

export interface NewWait {
  wait: Wait;
  dueInSeconds: number;
  /** The secret in the URL of a callback or of a webhook. */
  token: string | null;
}

/** The end of a turn. */
export interface TurnEnd {
  kind: 'end';
  state: TurnEndState;
  /** JSON payload of the last event. */
  payload: string;
  /** The same, if the turn of a waiting message follows and the task stays working. */
  payloadIfContinued: string;
  statusAt: string;
  /** JSON of the status message. */
  message: string | null;
  /** The message is the whole answer. It hides the task, unless a caller has received it as a Task. */
  direct: boolean;
  error: string | null;
}

/** Releases the turn, which runs again after `delaySeconds`. */
export interface TurnRelease {
  kind: 'release';
  delaySeconds: number;
  /** False if the attempt does not count: nothing failed (drain, parking), or only a partner did. */
  countAttempt: boolean;
  /** A partner of the agent failed, which is counted apart from attempts. */
  partnerFailed?: boolean;
  /** The turn was put back without being run: whether its last attempt crashed stays known. */
  untried?: boolean;
  /** The turn was run, but not for long enough to clear it: that its last attempt crashed stays known. */
  suspect?: boolean;
  /**
   * The turn waits. It runs again at once if a call has ended one of its waits since its claim, which had this
   * count of signals.
   */
  signals?: number;
  /** Shows clients what the turn waits for. */
  announcement?: NewEvent;
  error: string | null;
}

export interface TurnWrite {
  lease: Lease;
  events?: readonly NewEvent[];
  steps?: readonly NewStep[];
  /** Usage of the whole task, including the steps of this write. */
  taskUsage?: Usage | undefined;
  finish?: TurnEnd | TurnRelease;
  /** Required if the write ends a task that is a child or has children. */
  hasFamily?: boolean;
}
