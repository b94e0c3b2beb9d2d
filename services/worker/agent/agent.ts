/**
 * The interface of an agent: what a turn is given and what it may do. The Gemini agent is one implementation; a module
 * named by `AGENT_MODULE` exports another as its default:
 *
 * ```ts
 * import type { Agent } from 'longhaul/agent';
 * const agent: Agent = {
 *   async run(turn) {
 *     const found = await turn.step('search', () => search(textOf(turn.message.parts)));
 *     await turn.artifact({ artifactId: 'answer', parts: [{ text: found }] });
 *     return { state: 'TASK_STATE_COMPLETED' };
 *   },
 * };
 * export default agent;
 * ```
 *
 * A turn may be run again from its start after a crash: everything outside a step runs again, a finished step does not
 * (invariant 7).
 */
import type { BackoffPolicy } from '#shared/domain/backoff.ts';
import type { Artifact, Json, JsonObject, Message, Part } from '#shared/domain/message.ts';
import type { TaskState } from '#shared/domain/task.ts';
import type { ModelUsage } from '#shared/domain/usage.ts';

export interface Agent {
  run(turn: Turn): Promise<TurnOutcome>;
  /** Loads what its first turn needs, before there is one: called when the worker has told that it is ready. */
  open?(): void;
  /** Lets go of connections and the like, when the process stops and no turn runs. */
  close?(): Promise<void>;
}

export interface Turn {
  readonly taskId: string;
  readonly contextId: string;
  /** Who submitted the task: the authenticated caller, and its tenant (empty where none is used). */
  readonly owner: string;
  readonly tenant: string;
  /** The number of this turn within the task, from 1: each accepted message begins one. */
  readonly number: number;
  /** The message that began this turn. */
  readonly message: Message;
  /** Earlier messages of this task and of earlier tasks of the same context, oldest first. */
  readonly history: readonly HistoryEntry[];
  /**
   * The tasks that messages of this task refer to (`referenceTaskIds`), as they are now; those that are gone are left
   * out.
   */
  readonly references: readonly ReferencedTask[];
  /** The turns of this task before this one, oldest first, with what their steps returned. */
  readonly earlierTurns: readonly EarlierTurn[];
  /** Metadata of the request that created the task. */
  readonly metadata: JsonObject;
  /** Media types that the caller accepts (`acceptedOutputModes`); empty: all. */
  readonly acceptedOutputModes: readonly string[];
  /** The definition that the task began with (the parsed YAML), kept over deploys. */
  readonly definition: JsonObject;
  /**
   * Aborts when the lease is lost, the task is cancelled, the process stops, or the turn has reached
   * `limits.turnSeconds`. The turn must end at once: half a second later it is left behind, and writes nothing more.
   */
  readonly signal: AbortSignal;

  /**
   * Runs `run` once and records its result. When the turn runs again after a crash, the recorded result is returned
   * and `run` is not called. A step is matched by its name and by how many steps of that name came before it in this
   * turn. The result must be JSON. `run` rejecting records nothing: the error reaches the agent.
   *
   * @throws {FatalError} when an earlier run of this turn recorded another step at this place: the code has changed
   * under a turn that had begun
   * @throws {LeaseLostError} when the turn no longer belongs to this worker: let it pass
   */
  step<T extends Json | void>(
    name: string,
    run: (step: StepContext) => Promise<T>,
    options?: StepOptions,
  ): Promise<T>;

  /**
   * Writes a whole artifact, replacing any of the same id. Here as everywhere, `raw` of more than 256 KiB is stored once
   * as a file, and clients are given its address.
   */
  artifact(artifact: Artifact): Promise<void>;

  /**
   * Opens an artifact that is written in pieces. Pieces are gathered into chunks (about every 100 ms or 1 KiB).
   * The first chunk replaces whatever an earlier, interrupted run wrote under the same id.
   */
  openArtifact(artifact: Omit<Artifact, 'parts'>): ArtifactStream;

  /**
   * A file that this service has stored for the owner of the task: large parts of artifacts and messages are given to
   * clients by an address of the front door, and may come back with it.
   */
  readFile(url: string): Promise<{ mediaType: string; filename: string | null; content: Buffer } | undefined>;

  /** Tells clients what is going on, as a status message in the state working. Not part of the history. */
  progress(parts: Part[] | string): Promise<void>;
}

export interface ArtifactStream {
  /** Adds parts; returns at once. Neighbouring texts are joined. */
  write(part: Part): void;
  /** Writes what is left and marks the last chunk. Resolves when it is stored. */
  close(): Promise<void>;
}

export interface StepContext {
  /** The same over all runs of this step: hand it to whatever has an effect elsewhere. */
  readonly idempotencyKey: string;
  readonly signal: AbortSignal;
}

export interface StepOptions {
  /** What goes into the step: its hash is recorded beside the result. */
  input?: Json;
  /** What a call of a model took, read from the result: recorded beside it, and counted for the task and its owner. */
  usage?: (result: Json) => ModelUsage | undefined;
  /**
   * Seconds that one run may take; then its signal aborts, and soon after it has failed, also if it does not heed that.
   * Default: `limits.stepSeconds` of the definition, else no bound but the turn's.
   */
  timeoutSeconds?: number;
  /**
   * How often a run that fails is tried again in place, under the same idempotency key. A FatalError or a ParkedError is
   * not. The turn waits meanwhile, and keeps its worker. Default: 0.
   */
  retries?: number | StepRetries;
  /** True: a fenced "started" record is written before `run`, as a tool with side effects needs (invariant 3). */
  sideEffects?: boolean;
}

/** Waits are doubled from the first to the longest, and jittered over their upper half. */
export interface StepRetries extends BackoffPolicy {
  times: number;
}

/** An earlier message, with the text of the artifacts that a turn of the agent left. */
export interface HistoryEntry {
  readonly taskId: string;
  /** The number of the turn within that task. */
  readonly turn: number;
  readonly role: 'user' | 'agent';
  readonly parts: readonly Part[];
}

export interface ReferencedTask {
  readonly taskId: string;
  readonly state: TaskState;
  /** What was said, oldest first. */
  readonly messages: readonly Message[];
  readonly artifacts: readonly Artifact[];
}

export interface EarlierTurn {
  readonly number: number;
  readonly message: Message;
  readonly steps: readonly { name: string; occurrence: number; result: Json }[];
}

export type TurnOutcome =
  | { state: 'TASK_STATE_COMPLETED'; message?: Part[] | string }
  | { state: 'TASK_STATE_INPUT_REQUIRED'; message: Part[] | string }
  /** `extensions`: URIs of those that the message uses. */
  | { state: 'TASK_STATE_AUTH_REQUIRED'; message: Part[] | string; extensions?: string[] }
  | { state: 'TASK_STATE_REJECTED'; message: Part[] | string }
  | { state: 'TASK_STATE_FAILED'; message: Part[] | string }
  /** Answer with one message and no task (A2A section 3.1.1): the only output of the turn. */
  | { direct: Part[] | string };
