/** A task in memory, on the log of its writes. */
import type { Agent } from '#services/worker/agent/agent.ts';
import { noHistory, type Exchange } from '#shared/db/turns/history/read.ts';
import type { TurnHistory, TurnInput } from '#shared/db/turns/input/input.ts';
import type { TurnEnd, TurnRelease } from '#shared/db/turns/write.ts';
import type { Usage } from '#shared/domain/usage.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import {
  textOf,
  type Artifact,
  type Json,
  type JsonObject,
  type Message,
  type Part,
} from '#shared/domain/message.ts';
import { isTerminal, type TaskState } from '#shared/domain/task.ts';
import { createCallbackUrl } from '#shared/domain/wait.ts';
import { publicUrl, runOnce } from './run-once.ts';
import { TurnLog, type OpenTestWait } from './turn-log.ts';
import type { RunOptions, TestRun, TestStep, TestTask, TestTaskOptions } from './types.ts';

/** Sleeps in one run of `TestTask.run`: more of them are an endless loop. */
const maxSleeps = 10_000;

export class MemoryTask implements TestTask {
  agent: Agent;
  readonly id: string;
  readonly contextId: string;
  state: TaskState = 'TASK_STATE_SUBMITTED';
  message: Message | undefined;
  turn = 1;
  /** The artifacts of earlier turns. */
  artifactsBefore: Artifact[] = [];
  log = new TurnLog();
  readonly options: TestTaskOptions;
  readonly #exchanges: Exchange[] = [];
  readonly #history: TurnHistory['steps'] = [];
  #userMessage: Message;
  #usage: Usage | undefined;
  #attempts = 1;
  #failures = 0;
  #failingSince: Date | null = null;
  /** The clock of the task does not follow `Date`, which `assertReplays` moves. */
  #startedAt = Date.now() - performance.now();
  #sleptMs = 0;

  constructor(agent: Agent, options: TestTaskOptions | string, ids = { id: uuidv7(), contextId: uuidv7() }) {
    this.agent = agent;
    this.id = ids.id;
    this.contextId = ids.contextId;
    this.options = typeof options === 'string' ? { message: options } : options;
    this.#userMessage = this.#createMessage(this.options.message);
  }

  get steps(): TestStep[] {
    return this.log.getSteps(this.#now());
  }

  get artifacts(): Artifact[] {
    return this.log.getArtifacts(this.artifactsBefore);
  }

  get progress(): string[] {
    return this.log.progress;
  }

  get messageText(): string {
    return textOf(this.message?.parts ?? []);
  }

  getText(artifactId: string): string | undefined {
    const found = this.artifacts.find((artifact) => artifact.artifactId === artifactId);
    return found && textOf(found.parts);
  }

  async run({ crashAfter }: RunOptions = {}): Promise<TestRun> {
    if (isTerminal(this.state)) throw new Error(`The task has ended (${this.state}): create another one.`);
    const key = crashAfter === undefined || /#\d+$/.test(crashAfter) ? crashAfter : `${crashAfter}#1`;
    const ran: string[] = [];
    this.state = 'TASK_STATE_WORKING';
    for (let sleeps = 0; sleeps <= maxSleeps; sleeps += 1) {
      const once = await runOnce({
        agent: this.agent,
        input: this.#createInput(),
        turn: this.turn,
        attempts: this.#attempts,
        failures: this.#failures,
        failingSince: this.#failingSince,
        maxAttempts: this.options.maxAttempts ?? 5,
        turnLog: this.log,
        agents: this.options.agents ?? {},
        now: () => this.#now(),
        crashAfter: key,
      });
      ran.push(...once.ran);
      if (once.ran.length > 0) this.#countProgress();
      const { finish } = once;
      const more = { ran, waits: this.#describeWaits(), error: once.error, delaySeconds: undefined };
      if (finish === undefined) return { end: 'crashed', ...more };
      if (key !== undefined && finish.kind === 'end') {
        throw new Error(
          `crashAfter: the step ${key} was not recorded in this run, only ${ran.join(', ') || 'none'}.`,
        );
      }
      if (finish.kind === 'end') {
        this.#end(finish);
        return { end: 'ended', ...more };
      }
      if (finish.signals === undefined) {
        this.#countFailure(finish);
        return { end: 'retrying', ...more, delaySeconds: finish.delaySeconds };
      }
      if (!this.#endNextWait()) return { end: 'waiting', ...more };
    }
    throw new Error(`The turn has slept more than ${maxSleeps} times.`);
  }

  answer(name: string, body: Json): void {
    this.log.entries.push({
      key: this.#findCallback(name).key,
      result: { status: 'answered', body },
      at: this.#now(),
    });
  }

  timeOut(name: string): void {
    this.#sleptMs += Math.max(0, this.#findCallback(name).dueAt - this.#now()) + 1;
  }

  send(message: Part[] | string): void {
    if (this.state !== 'TASK_STATE_INPUT_REQUIRED' && this.state !== 'TASK_STATE_AUTH_REQUIRED') {
      throw new Error(`The task waits for no message: its state is ${this.state}.`);
    }
    this.#exchanges.push({
      taskId: this.id,
      turn: this.turn,
      message: this.#userMessage,
      artifacts: this.log.getArtifacts([]),
      answer: this.message ?? null,
    });
    this.#history.push(...this.log.getRecord(this.#now()).map((step) => ({ ...step, turn: this.turn })));
    this.artifactsBefore = this.artifacts;
    this.log = new TurnLog();
    this.turn += 1;
    this.#userMessage = this.#createMessage(message);
    this.#countProgress();
    this.state = 'TASK_STATE_SUBMITTED';
  }

  /** Returns a copy of the task whose current turn has only the first entries of its log. */
  fork(agent: Agent, entries: number): MemoryTask {
    const copy = new MemoryTask(agent, this.options, this);
    copy.turn = this.turn;
    copy.artifactsBefore = this.artifactsBefore;
    copy.log = new TurnLog(this.log.entries.slice(0, entries));
    copy.#exchanges.push(...this.#exchanges);
    copy.#history.push(...this.#history);
    copy.#userMessage = this.#userMessage;
    copy.#startedAt = this.#startedAt;
    copy.#sleptMs = Math.max(this.#sleptMs, (copy.log.entries.at(-1)?.at ?? 0) - this.#now());
    return copy;
  }

  #now(): number {
    return this.#startedAt + performance.now() + this.#sleptMs;
  }

  #createMessage(content: Part[] | string): Message {
    return {
      messageId: uuidv7(),
      taskId: this.id,
      contextId: this.contextId,
      role: 'ROLE_USER',
      parts: typeof content === 'string' ? [{ text: content }] : content,
    };
  }

  #createInput(): TurnInput {
    const { metadata = {}, acceptedOutputModes = [], references = [] } = this.options;
    const { owner = 'owner', tenant = '' } = this.options;
    return {
      contextId: this.contextId,
      owner,
      tenant,
      definition: this.#createDefinition(),
      metadata,
      acceptedOutputModes,
      references: [...references].map((reference) => ({
        ...reference,
        messages: [...reference.messages],
        artifacts: [...reference.artifacts],
      })),
      message: this.#userMessage,
      steps: [],
      recordBytes: 0,
      startedSecondsAgo: 0,
      usage: this.#usage,
      readEarlierCall: async () => undefined,
      readHistory: async (maxTurns) => ({
        ...noHistory,
        exchanges: maxTurns === 0 ? [] : this.#exchanges.slice(-maxTurns),
        complete: this.#exchanges.length <= maxTurns,
        steps: this.#history,
        references: [],
      }),
      readSteps: async (names, maxTurns) =>
        this.#exchanges
          .slice(Math.max(0, this.#exchanges.length - maxTurns))
          .toReversed()
          .map(({ taskId, turn }) => ({
            taskId,
            turn,
            steps: this.#history
              .filter((step) => step.turn === turn && step.finished && names.includes(step.name))
              .toSorted((a, b) => a.position - b.position),
          })),
      readStoredReply: async () => undefined,
    };
  }

  #createDefinition(): JsonObject {
    const { definition = {}, agents = {} } = this.options;
    const named = Object.keys(agents).map((name) => [name, { url: 'http://localhost' }]);
    return { ...definition, agents: { ...Object.fromEntries(named), ...(definition['agents'] as object) } };
  }

  #describeWaits(): TestRun['waits'] {
    return this.log.getWaits(this.#now()).map(({ name, kind, token }) => ({
      name,
      kind,
      ...(token !== null && { url: createCallbackUrl(publicUrl, token) }),
    }));
  }

  #findCallback(name: string): OpenTestWait {
    const waits = this.log.getWaits(this.#now());
    const found = waits.find((wait) => wait.kind === 'callback' && (wait.name === name || wait.key === name));
    if (found !== undefined) return found;
    const open = waits.map((wait) => `${wait.kind} "${wait.name}"`).join(', ');
    throw new Error(`No callback "${name}" is open. Open waits: ${open || 'none'}.`);
  }

  /** Answers the callbacks that have an answer; otherwise ends the first sleep, unless a callback is due before. */
  #endNextWait(): boolean {
    const waits = this.log.getWaits(this.#now());
    const answers = this.options.answers ?? {};
    const answered = waits.filter(({ kind, name }) => kind === 'callback' && Object.hasOwn(answers, name));
    for (const { name } of answered) this.answer(name, answers[name] ?? null);
    if (answered.length > 0) return true;
    const [first] = waits;
    if (first?.kind !== 'sleep') return false;
    this.#sleptMs += Math.max(0, first.dueAt - this.#now()) + 1;
    return true;
  }

  #countProgress(): void {
    this.#attempts = 1;
    this.#failures = 0;
    this.#failingSince = null;
  }

  #countFailure({ countAttempt, partnerFailed, delaySeconds }: TurnRelease): void {
    if (countAttempt) this.#attempts += 1;
    if (partnerFailed === true) {
      this.#failures += 1;
      this.#failingSince ??= new Date(this.#now());
    }
    this.#sleptMs += delaySeconds * 1000;
  }

  #end({ state, message }: TurnEnd): void {
    this.state = state;
    this.message = message === null ? undefined : (JSON.parse(message) as Message);
  }
}
