/**
 * The interface between the worker and an agent. The Gemini agent implements it, and so does any module that
 * `AGENT_MODULE` names, by its default export:
 *
 * ```ts
 * import type { Agent } from 'longhaul/agent';
 *
 * const agent: Agent = {
 *   async run(turn) {
 *     const found = await turn.step('search', ({ signal }) => search(turn.message, signal));
 *     await turn.artifact({ artifactId: 'answer', parts: [{ text: found }] });
 *     return { state: 'TASK_STATE_COMPLETED' };
 *   },
 * };
 * export default agent;
 * ```
 *
 * A turn runs again from its start after a crash, a deploy or an error: code outside steps runs again,
 * finished steps do not (invariant 7).
 */
import type { CodeDefinition } from '#shared/agent/code-definition.ts';
import type { Artifact, Json, JsonObject, Message, Part } from '#shared/domain/message.ts';
import type { History, ReferencedTask } from './types/history.ts';
import type { ArtifactStream, TurnOutcome } from './types/output.ts';
import type { EarlierSteps, StateLog } from './types/state.ts';
import type { StepContext, StepOptions } from './types/steps.ts';
import type {
  Callback,
  CallbackOptions,
  CallOptions,
  CallResult,
  ChildTasks,
  JoinOptions,
  JoinResult,
  SpawnOptions,
} from './types/waits.ts';

export type * from './types/history.ts';
export type * from './types/output.ts';
export type * from './types/state.ts';
export type * from './types/steps.ts';
export type * from './types/waits.ts';

export interface Agent {
  /**
   * Runs one turn and returns how it ends. A rejection decides what happens next, by the `name` of the error
   * (the classes are in shared/domain/errors.ts):
   *
   * - `FatalError`: the task fails with the message of the error, which clients see. Malformed output, such as
   *   a part without content or an unknown state, fails the task in the same way, with the name of the field.
   * - `ParkedError`: the turn runs again at the error's `until`. Spends no attempt.
   * - a programming error (a `TypeError` without a cause, a `ReferenceError` …), or a step that exceeded its
   *   timeout: the turn runs again after 1, 2, 4 … up to 60 seconds. After `MAX_ATTEMPTS` (default: 5) in a row
   *   without a newly recorded step, the task fails with the message of the last error.
   * - any other error: a partner is assumed to have failed. The turn runs again after 1, 2, 4 … up to 300
   *   seconds without spending attempts, and the task's status says since when it waits. If no step is
   *   recorded within `limits.outageSeconds` (default: an hour), the task fails in the same way.
   */
  run(turn: Turn): Promise<TurnOutcome>;
  /**
   * The version of the code, up to 100 characters. A turn that has recorded a step is continued only by workers whose
   * agent has the same version or lists it in `compatibleWith` (docs/develop/versions.md). Default: none. Its turns have no
   * version, and every worker continues them.
   */
  readonly version?: string;
  /** Earlier versions whose turns this one continues: their steps are the same, or `turn.version` branches for them. */
  readonly compatibleWith?: readonly string[];
  /** Describes the agent, for its card. Only for an agent without `agent.yaml`. */
  readonly definition?: CodeDefinition;
  /** Called once when the worker is ready. Loads modules, for example, before the first turn needs them. */
  open?(): void;
  /** Called when the process stops, once no turn runs. Closes connections. */
  close?(): Promise<void>;
}

/** One message and the work that it starts, up to the agent's next answer. */
export interface Turn {
  readonly taskId: string;
  readonly contextId: string;
  /** The authenticated caller that submitted the task. */
  readonly owner: string;
  /** The tenant of the task; empty if the caller uses none. */
  readonly tenant: string;
  /** The number of this turn within the task, from 1. Each accepted message starts a turn. */
  readonly number: number;
  /** The message that started this turn. */
  readonly message: Message;
  /** The tasks that the message refers to (`referenceTaskIds`), in their current state. See `ReferencedTask`. */
  readonly references: readonly ReferencedTask[];
  /** The task that has started this one with `spawn`; undefined for the tasks of clients. */
  readonly parentTaskId: string | undefined;
  /** Metadata of the request that created the task. */
  readonly metadata: JsonObject;
  /** Media types that the caller accepts (`acceptedOutputModes`). Empty: all. */
  readonly acceptedOutputModes: readonly string[];
  /**
   * The agent definition (parsed YAML) from the time the task was created. Later deploys do not change it.
   */
  readonly definition: JsonObject;
  /**
   * Aborts when the lease is lost, the task is canceled, the process stops, or the turn reaches
   * `limits.turnSeconds`. The agent must return at once: after 500 ms the worker abandons the turn, and
   * refuses all its later writes.
   */
  readonly signal: AbortSignal;

  /**
   * Reads the conversation before this turn: earlier messages of this task and of earlier tasks of the same
   * context and owner. A turn that does not ask for it costs the same however long the conversation is.
   *
   * @param options.maxTurns the newest turns to read, from 0 to 500. Default: `history.maxTurns` of the
   *   definition (100). Other bounds are 16 MiB of JSON, and a quarter of the worker's memory for inputs
   * @throws {ParkedError} if the worker has no memory free for it. Do not catch it: the turn runs again later
   */
  readHistory(options?: { maxTurns?: number }): Promise<History>;

  /**
   * Reads what earlier turns have recorded in steps of these names: turns of this task, and of earlier tasks of the same
   * context and owner.
   *
   * @param options.maxTurns the newest turns to read, from 0 to 500. Other bounds are those of the record of a turn, and a
   *   quarter of the worker's memory for inputs: older turns are left out
   * @returns newest turn first, also turns without such a step
   * @throws {ParkedError} if the worker has no memory free for it. Do not catch it: the turn runs again later
   */
  readSteps(names: readonly string[], options: { maxTurns: number }): Promise<readonly EarlierSteps[]>;

  /**
   * Opens the record of this turn as a log, for an agent that keeps its state itself, such as checkpoints: when the turn runs
   * again, it continues from the entries, and reaches no step again. Call it before the first step.
   */
  openLog(): StateLog;

  /**
   * Runs `run` and records its result, once. If the turn runs again, `step` returns the recorded result
   * without calling `run`. A crash between the start of `run` and its record makes it run again, with the
   * same idempotency key.
   *
   * A step is identified by its name and by the number of earlier steps of that name in the turn, so an agent
   * must reach its steps in the same order each time. If `run` rejects, nothing is recorded, and `step`
   * rejects with the same error once `options.retries` are used up.
   *
   * @param name few distinct values: it names the spans of the step
   * @returns the result, which must be JSON
   * @throws {FatalError} if an earlier run of this turn finished another step at this point: the code has
   *   changed
   * @throws {FatalError} if steps of one name are matched by their input and by their number
   * @throws {FatalError} if the result is not JSON
   * @throws {FatalError} if the results of the turn's steps together exceed `MAX_RECORD_BYTES` (64 MiB) of
   *   JSON. Return a reference to large data, not the data
   * @throws {RetryableError} if the last run exceeds its timeout
   * @throws {LeaseLostError} if the turn no longer belongs to this worker. Do not catch it
   * @throws the reason of an abort if the turn should be released before this step. Do not catch it
   */
  step<T extends Json | void>(
    name: string,
    run: (step: StepContext) => Promise<T>,
    options?: StepOptions,
  ): Promise<T>;

  /**
   * Checks that the definition leaves room for another model call: `limits.tokens` and `limits.cost` of the task, and
   * those of its owner. An agent that calls models calls it before each, within the step that is to record the call.
   * The usage that counts is the one that steps report (`options.usage`).
   *
   * @throws {FatalError} if a limit of the definition is reached. Its message names the limit, and clients see it
   * @throws {OwnerLimitError} if the owner's limit for a day is reached. Do not catch it: the turn runs again later
   */
  checkSpending(): Promise<void>;

  /**
   * Returns whether the turn takes a change of the agent's code, or started before it (docs/develop/versions.md):
   * `if (await turn.version('ask twice')) … else …`. Returns false if an earlier run of this turn has recorded a step
   * that this run has not reached yet, and true otherwise. A true answer is recorded, and all runs of a turn get the
   * same answer. Remove the call and the old code once no turn from before the change is left.
   *
   * @param name of the change, not of a version: each change needs its own
   * @throws {FatalError} if the name is not valid
   * @throws {LeaseLostError} if the turn no longer belongs to this worker. Do not catch it
   */
  version(name: string): Promise<boolean>;

  /**
   * Waits until a time, or for a number of seconds, without holding a worker: the turn runs again from its
   * start when the time has come, and `sleep` then returns at once. At most 366 days. The wait is a step of
   * the turn, under its name.
   *
   * While a turn only awaits sleeps and callbacks, it is suspended, and code outside steps that has not
   * ended is abandoned. The time waited does not count towards `limits.turnSeconds`, but towards the
   * deadline of the task. Do not race a wait against another one or a step: which comes first may differ when
   * the turn runs again. A callback has a timeout of its own.
   *
   * @param until seconds from now, or a time; a time that has passed does not wait
   * @throws {FatalError} if the time is not valid
   */
  sleep(name: string, until: number | Date): PromiseLike<void>;

  /**
   * Creates a URL that ends the wait when something is posted to it, and waits like `sleep` once its result is
   * awaited (docs/develop/waits.md). The URL is the same in all runs of the turn.
   *
   * @throws {FatalError} if an option is not valid, or the worker has no `PUBLIC_URL`
   */
  callback(name: string, options?: CallbackOptions): Promise<Callback>;

  /**
   * Sends a message to another A2A agent, and waits like `sleep` once it is awaited, until that agent has ended its work or
   * waits for an answer (docs/develop/remote-agents.md). The call is a step, `call:` and the name of the agent. The message is
   * sent under the same id if it must be sent again.
   *
   * An answer that the other agent waits for is sent by another call, with its `taskId`. If the task is canceled, so is that
   * of the other agent.
   *
   * @param agent its name in `agents` of the definition
   * @param message a text, or parts
   * @throws {FatalError} if an argument is not valid, or the definition has no such agent
   * @throws {RetryableError} while the agent is unavailable. Do not catch it: the turn runs again later
   */
  call(agent: string, message: Part[] | string, options?: CallOptions): PromiseLike<CallResult>;

  /**
   * Starts a child task for each message: a task of the same owner and tenant, with the agent definition of this task.
   * All are stored in one statement together with the step that records them, so a crash never starts one twice.
   * Children end with their parent: when it ends, those that are still open are canceled (docs/develop/waits.md).
   *
   * @param name names the step, like that of `step`
   * @param messages a text or parts for each child, 8 MiB of JSON together. A turn can start 10,000 children
   * @throws {FatalError} if a message is malformed, there are too many, the task is a child in the fifth generation
   *   itself, `limits.tokens` or `limits.cost` of the task is used up, or the owner's limits have no room for as many
   * @throws {OwnerLimitError} if the owner has too many open tasks now. Do not catch it: the turn runs again later
   */
  spawn(name: string, messages: readonly (Part[] | string)[], options?: SpawnOptions): Promise<ChildTasks>;

  /**
   * Waits for children like `sleep` once it is awaited, until as many as needed have ended, and returns what they
   * produced. Their model usage counts to this task. The others run on.
   *
   * @param children from `spawn`, in any turn of this task
   * @throws {FatalError} if an option is not valid, or the task has no such children
   */
  join(name: string, children: ChildTasks, options?: JoinOptions): PromiseLike<JoinResult>;

  /**
   * Stores a whole artifact. Replaces an artifact with the same id.
   *
   * Here and in all other output, `text`, `data` and `raw` content over 256 KiB is stored once as a file of at
   * most 32 MiB. Clients and later turns get its URL instead, for `readFile`. One artifact may take 512 KiB next
   * to its files, and all artifacts of a task 2 MiB: the fuller they are, the smaller the parts that become
   * files. Without `PUBLIC_URL` the worker stores no files. An owner whose turns store more than
   * `WORKER_OWNER_BYTES_PER_SECOND` waits here.
   *
   * @throws {FatalError} if the artifact is larger or malformed
   * @throws {LeaseLostError} if the turn no longer belongs to this worker. Do not catch it
   */
  artifact(artifact: Artifact): Promise<void>;

  /**
   * Opens an artifact that is written in pieces. Clients get it in chunks, sent every 100 ms or 1,024
   * characters. The first chunk replaces everything that an earlier, interrupted run wrote under the same id.
   * Text over 256 KiB is moved to files while it is written, and to a single one at the end.
   *
   * @throws {FatalError} if the artifact is malformed
   */
  openArtifact(artifact: Omit<Artifact, 'parts'>): ArtifactStream;

  /**
   * Reads a file that this service has stored for the owner of the task, by the URL that clients were given
   * for a large part. Returns undefined if the URL names no such file.
   */
  readFile(url: string): Promise<{ mediaType: string; filename: string | null; content: Buffer } | undefined>;

  /**
   * Stores the content of a part as a file of the task, and returns the part with its URL, for `readFile`. Content up to 4 KiB,
   * and all content of a worker without `PUBLIC_URL`, is returned as it is.
   *
   * @throws {FatalError} if the part is malformed, or its content has more than 32 MiB
   */
  storeFile(part: Part): Promise<Part>;

  /**
   * Reserves memory of the worker for large data, until the turn ends. Waits up to ten seconds for it.
   *
   * @throws {ParkedError} if other turns have the memory. Do not catch it: the turn runs again later
   */
  reserveMemory(bytes: number): Promise<void>;

  /**
   * Reports progress to clients, as a status message in the state working. It is not part of the history.
   *
   * @throws {FatalError} if the content is malformed
   * @throws {LeaseLostError} if the turn no longer belongs to this worker. Do not catch it
   */
  progress(parts: Part[] | string): Promise<void>;
}
