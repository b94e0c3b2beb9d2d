/**
 * A turn in memory. It stores steps as JSON and folds artifacts as clients do. A second turn with the steps of the first
 * behaves like that turn when it runs again after a crash.
 */
import { setImmediate } from 'node:timers/promises';
import type {
  ArtifactStream,
  Callback,
  CallOptions,
  CallResult,
  EarlierTurn,
  History,
  StepContext,
  StepOptions,
  Turn,
} from '#services/worker/agent/agent.ts';
import {
  createStreamStore,
  type ModelWait,
  type ModelWaitingTurn,
} from '#services/worker/agent/model-wait.ts';
import type { FollowTaskOptions } from '#services/worker/agent/mcp/tasks/wait.ts';
import type { MarkedArtifactStream } from '#services/worker/turn/output/artifact-stream.ts';
import type { StoredReplyRow } from '#shared/db/models/stored-replies.ts';
import type { NewStep } from '#shared/db/turns/write.ts';
import { foldArtifacts, type ArtifactUpdate } from '#shared/domain/events.ts';
import { textOf, type Artifact, type Json, type JsonObject, type Part } from '#shared/domain/message.ts';
import type { CallbackResult, StreamCursor } from '#shared/domain/wait.ts';
import type { MemoryStep, MemoryTurnOptions } from './memory-turn-options.ts';

/** Simulates the death of the process: the turn writes nothing after it. */
export class Crash extends Error {}

export class MemoryTurn implements ModelWaitingTurn {
  readonly taskId: string;
  readonly contextId = 'context-1';
  readonly owner = 'owner';
  readonly tenant = '';
  readonly parentTaskId = undefined;
  readonly metadata: JsonObject;
  readonly number: number;
  readonly message: Turn['message'];
  readonly history: History['entries'];
  readonly historyComplete: boolean;
  readonly references: Turn['references'];
  readonly earlierTurns: readonly EarlierTurn[];
  readonly acceptedOutputModes: readonly string[];
  readonly definition: JsonObject;
  readonly signal: AbortSignal;
  readonly steps: Map<string, MemoryStep>;
  readonly updates: ArtifactUpdate[];
  readonly progressMessages: string[] = [];
  readonly cursors: Map<string, StreamCursor>;
  readonly #counts = new Map<string, number>();
  readonly #crashAfter: string | undefined;
  readonly #reported: string | undefined;
  readonly #knownWait: boolean;
  readonly #tokens: readonly string[];
  readonly #storedReplies: Record<string, StoredReplyRow>;
  readonly #ageSeconds: number;
  #chunksLeft: number;
  readonly #answers: Record<string, Json>;
  readonly #agents: NonNullable<MemoryTurnOptions['agents']>;
  readonly #followTask: MemoryTurnOptions['followTask'];
  #crashed = false;

  constructor(options: MemoryTurnOptions) {
    const { message } = options;
    this.taskId = options.taskId ?? 'task-1';
    this.number = options.number ?? 1;
    this.message = {
      messageId: 'message-1',
      role: 'ROLE_USER',
      parts: typeof message === 'string' ? [{ text: message }] : message,
    };
    this.history = options.history ?? [];
    this.historyComplete = options.historyComplete ?? true;
    this.metadata = options.metadata ?? {};
    this.references = options.references ?? [];
    this.earlierTurns = options.earlierTurns ?? [];
    this.acceptedOutputModes = options.acceptedOutputModes ?? [];
    this.definition = options.definition;
    this.signal = options.signal ?? new AbortController().signal;
    this.steps = options.steps ?? new Map<string, MemoryStep>();
    this.updates = options.updates ?? [];
    this.#crashAfter = options.crashAfter;
    this.#reported = options.reported;
    this.#knownWait = options.knownWait ?? false;
    this.#tokens = options.tokens ?? [];
    this.#storedReplies = options.storedReplies ?? {};
    this.#ageSeconds = options.ageSeconds ?? 0;
    this.cursors = options.cursors ?? new Map<string, StreamCursor>();
    this.#chunksLeft = options.crashAfterChunk ?? Infinity;
    this.#agents = options.agents ?? {};
    this.#answers = options.answers ?? {};
    this.#followTask = options.followTask;
  }

  /** The artifacts as clients see them now. */
  get artifacts(): Artifact[] {
    return foldArtifacts(this.updates);
  }

  getArtifactText(artifactId: string): string | undefined {
    const found = this.artifacts.find((artifact) => artifact.artifactId === artifactId);
    return found === undefined ? undefined : textOf(found.parts);
  }

  /** Creates the next turn of the same task. */
  next(message: Part[] | string, more: Partial<MemoryTurnOptions> = {}): MemoryTurn {
    const steps = [...this.steps].map(([key, { name, result }]) => ({
      name,
      occurrence: Number(key.slice(name.length + 1)) - 1,
      result: JSON.parse(result) as Json,
    }));
    const { number, taskId, updates, definition } = this;
    const agents = this.#agents;
    return new MemoryTurn({
      taskId,
      message,
      definition,
      updates,
      agents,
      number: number + 1,
      history: [...this.history, { taskId, turn: number, role: 'user', parts: this.message.parts }],
      earlierTurns: [...this.earlierTurns, { number, message: this.message, steps }],
      ...more,
    });
  }

  async checkSpending(): Promise<void> {}

  openLog(): never {
    throw new Error('a turn in memory has no log');
  }

  async readSteps(): Promise<[]> {
    return [];
  }

  async step<T extends Json | void>(
    name: string,
    run: (step: StepContext) => Promise<T>,
    options: StepOptions = {},
  ): Promise<T> {
    const occurrence = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, occurrence);
    const key = `${name}#${occurrence}`;
    const recorded = this.steps.get(key);
    if (recorded !== undefined) return JSON.parse(recorded.result) as T;
    const result = await run({ idempotencyKey: `${this.taskId}:${key}`, signal: this.signal });
    this.signal.throwIfAborted();
    this.steps.set(key, { name, result: JSON.stringify(result ?? null), options });
    if (key === this.#crashAfter) {
      this.#crashed = true;
      throw new Crash();
    }
    return result;
  }

  async version(): Promise<boolean> {
    return true;
  }

  /** Waits take no time in memory. */
  async sleep(): Promise<void> {}

  /** Polls without a pause between. Once it has ended, it stays so, as a record would say. */
  async waitForModel(name: string): Promise<ModelWait> {
    const occurrence = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, occurrence);
    const key = `${name}#${occurrence}`;
    const identity = { name, occurrence: occurrence - 1, position: 0, inputHash: null };
    const setCursor = ({ wait }: NewStep): void => {
      if (!this.#crashed && wait?.wait.kind === 'model' && wait.wait.cursor) {
        this.cursors.set(key, wait.wait.cursor);
      }
    };
    const store = createStreamStore(
      {
        readArtifact: async (id) => this.artifacts.find(({ artifactId }) => artifactId === id)?.parts,
        openArtifact: (head, stored) => this.#openMarkedArtifact(head, stored, setCursor),
        showProgress: async (text, mark) => {
          await this.progress(text);
          setCursor(mark);
        },
      },
      identity,
      { wait: { kind: 'model' }, dueInSeconds: 0, token: null },
      this.cursors.get(key),
    );
    return {
      webhookUrl: undefined,
      token: this.#tokens[occurrence - 1] ?? 'token',
      known: this.#knownWait,
      reported: this.#reported,
      ended: async (poll) => {
        while (!this.steps.has(key) && !(await poll(this.#ageSeconds))) await setImmediate();
        this.steps.set(key, { name, result: '{}', options: {} });
      },
      ...store,
    };
  }

  async readStoredReply({ taskId }: { taskId: string }): Promise<StoredReplyRow | undefined> {
    return this.#storedReplies[taskId];
  }

  /** Each part is a chunk. */
  #openMarkedArtifact(
    head: Omit<Artifact, 'parts'>,
    stored: readonly Part[],
    mark: (step: NewStep) => void,
  ): MarkedArtifactStream {
    let append = stored.length > 0;
    return {
      write: (part, step) => {
        const artifact = { ...head, parts: [part] };
        this.#write({ taskId: this.taskId, contextId: this.contextId, artifact, append });
        append = true;
        if (step !== undefined) mark(step);
        this.#chunksLeft -= 1;
        if (this.#chunksLeft > 0) return;
        this.#crashed = true;
        throw new Crash();
      },
      flush: async () => undefined,
      leave: async () => undefined,
      close: async () => undefined,
    };
  }

  /** Is answered at once as `answers` says, otherwise it times out. */
  async callback(name: string): Promise<Callback> {
    const answered = Object.hasOwn(this.#answers, name);
    return {
      url: `http://callback.test/${name}`,
      result: this.step(name, async () =>
        answered ? { status: 'answered', body: this.#answers[name] ?? null } : { status: 'timed_out' },
      ) as unknown as Promise<CallbackResult>,
    };
  }

  /** Answers as `agents` says, and records the answer. */
  async call(agent: string, message: Part[] | string, options: CallOptions = {}): Promise<CallResult> {
    return this.step(`call:${agent}`, async () => {
      const answer = this.#agents[agent];
      if (answer === undefined) throw new Error(`no agent ${agent}`);
      return answer(typeof message === 'string' ? message : textOf(message), options) as unknown as Json;
    }) as unknown as Promise<CallResult>;
  }

  /** Polls as `toolTasks` says, without a pause between, and records the end. */
  async followTask(name: string, { server, taskId }: FollowTaskOptions): Promise<CallResult> {
    return this.step(name, async () => {
      if (this.#followTask === undefined) throw new Error('this turn waits for no tasks of tools');
      return (await this.#followTask(server, taskId)) as unknown as Json;
    }) as unknown as Promise<CallResult>;
  }

  async spawn(): Promise<never> {
    throw new Error('a turn in memory has no children');
  }

  async join(): Promise<never> {
    throw new Error('a turn in memory has no children');
  }

  async artifact(artifact: Artifact): Promise<void> {
    this.#write({ taskId: this.taskId, contextId: this.contextId, artifact, lastChunk: true });
  }

  openArtifact(head: Omit<Artifact, 'parts'>): ArtifactStream {
    let append = false;
    let closed = false;
    return {
      write: (part) => {
        if (closed) throw new Error('written after close');
        const artifact = { ...head, parts: [part] };
        this.#write({ taskId: this.taskId, contextId: this.contextId, artifact, append });
        append = true;
      },
      close: async () => {
        closed = true;
      },
    };
  }

  async readHistory(): Promise<History> {
    const { history: entries, historyComplete: complete, earlierTurns, references } = this;
    return { entries, complete, earlierTurns, references };
  }

  /** No files are stored in memory. */
  async readFile(): Promise<undefined> {
    return undefined;
  }

  async storeFile(part: Part): Promise<Part> {
    return part;
  }

  async reserveMemory(): Promise<void> {}

  async progress(parts: Part[] | string): Promise<void> {
    this.progressMessages.push(typeof parts === 'string' ? parts : textOf(parts));
  }

  #write(update: ArtifactUpdate): void {
    if (!this.#crashed) this.updates.push(structuredClone(update));
  }
}
