/**
 * Implements the turn that an agent works with: steps that run once, artifacts and progress. Every write goes
 * through the gate under the lease of the turn; a refused write aborts the turn (invariant 3).
 */
import { getHistoryTurns } from '#shared/agent/definition.ts';
import type { ReadSpentToday } from '#shared/db/models/ledger.ts';
import type { CheckCost } from '#shared/db/owners/cost.ts';
import type { ClaimedTask } from '#shared/db/turns/claim.ts';
import type { TurnInput } from '#shared/db/turns/input/input.ts';
import type { NewEvent, NewStep, WriteTurn } from '#shared/db/turns/write.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { Artifact, Message, Part } from '#shared/domain/message.ts';
import { addUsage, noUsage, sumUsage, type Usage } from '#shared/domain/usage.ts';
import type { CallbackResult } from '#shared/domain/wait.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import type { Logger } from '#shared/runtime/log.ts';
import type { Turn, TurnOutcome } from '../agent/agent.ts';
import type { Relays } from '../agent/gateway/relays.ts';
import { openModelWait, type ModelWaits } from '../agent/model-wait.ts';
import type { OpenedCalls, OpenTurnCalls } from './calls/open.ts';
import type { Children } from './children/children.ts';
import type { OpenTurnChildren } from './children/open.ts';
import { readParentTaskId } from './children/tasks.ts';
import { checkContent, checkOutcome, checkPart } from './output/check.ts';
import { storeContent, type OpenTurnFiles } from './output/files.ts';
import { createMessageFitter, fitOutcome } from './output/fit-message.ts';
import type { OutputPace } from './output/pace.ts';
import { createStore, type FindEvent } from './output/store.ts';
import { createTurnArtifacts } from './output/turn-artifacts.ts';
import { createHistoryReader } from './history.ts';
import type { HeldLease } from './lease-heartbeat.ts';
import { createAgentMessage, createProgressEvent } from './outcome.ts';
import { createResultWriter, TurnRecord, type StepIdentity } from './record.ts';
import { relayTurn } from './relay/relay.ts';
import { retryReadWhileLeased, retryWhileLeased } from './retry-while-leased.ts';
import { createSpendingCheck } from './spending.ts';
import { createStepRunner, type StepParts } from './steps/run-step.ts';
import { openStateLog } from './steps/state-log.ts';
import { createVersionReader } from './versions.ts';
import { Waits, type Suspension } from './waits.ts';

export interface WorkerTurn extends Turn, ModelWaits, Relays {
  /**
   * Stores the large parts of the outcome's message as files.
   *
   * @throws {FatalError} if the message is too large even so
   */
  storeOutcomeFiles(outcome: TurnOutcome): Promise<TurnOutcome>;
  /** Resolves when the turn has nothing to do but wait. */
  readonly suspended: Promise<Suspension>;
  /**
   * Checks a turn whose agent has returned, and closes the artifacts that it left open.
   *
   * @throws {FatalError} if the outcome or an earlier output is malformed, even if the agent caught that error, or if
   *   the agent has not reached a step that an earlier run finished
   */
  complete(outcome: unknown): Promise<void>;
  /**
   * Returns the model usage of the whole task so far; undefined if no model was called. Not a getter: a
   * getter gives each turn a hidden class of its own, which keeps the turn in memory until the next full
   * collection.
   */
  usage(): Usage | undefined;
}

export interface TurnParts {
  held: HeldLease;
  input: TurnInput;
  /** Returns the time of a new status, ISO 8601. It only goes forward. */
  getStatusTime: () => string;
  /** The number of the task's last event at the claim. */
  lastEvent: number;
  /** The count of signals at the claim; see `signals` of a release. */
  signals: number;
  /** Aborts when the turn should be released as soon as possible: no further step starts. */
  releaseSignal: AbortSignal;
  /** The timeout of steps that set none. */
  stepSeconds?: number | undefined;
  /** Maximum size of what the steps of the turn record, in bytes of JSON. */
  recordBytes: number;
  /** Called when a step is recorded. */
  onRecorded: () => void;
  reserveMemory: (bytes: number) => Promise<void>;
  /** Throws an OwnerLimitError if the owner's cost limit is reached. */
  checkCost: CheckCost;
  /** Reads the spending of an owner since midnight UTC. */
  spentToday: ReadSpentToday;
  write: WriteTurn;
  findEvent: FindEvent;
  timeOutCallback: (step: StepIdentity) => Promise<CallbackResult | undefined>;
  publicUrl: string | undefined;
  task: ClaimedTask;
  openChildren: OpenTurnChildren;
  openCalls: OpenTurnCalls;
  openFiles: OpenTurnFiles;
  /** Default: output is stored at once. */
  pace?: OutputPace | undefined;
  outbox: OutboxPublisher;
  log: Logger;
}

export function createTurn(parts: TurnParts): WorkerTurn {
  const { held, input, releaseSignal, log } = parts;
  const { lease, signal } = held;
  const files = parts.openFiles(held, input, parts.pace);
  const write = createStore(parts);
  const ids = { taskId: lease.taskId, contextId: input.contextId };
  const record = new TurnRecord(input.steps);
  let taskUsage = input.usage;
  const toRecord = createResultWriter(input.recordBytes, parts.recordBytes);
  let malformed: FatalError | undefined;

  /** Remembers the error of malformed output, so that the turn fails even if the agent catches it. */
  function check<A extends unknown[]>(checkOutput: (...args: A) => void, ...args: A): void {
    try {
      checkOutput(...args);
    } catch (error) {
      if (error instanceof FatalError) malformed ??= error;
      throw error;
    }
  }

  async function store(
    events: readonly NewEvent[],
    steps: readonly NewStep[] = [],
    used = steps.some((step) => step.usage !== undefined),
  ): Promise<void> {
    await write({ events, steps, ...(used && { taskUsage: () => taskUsage }) });
  }

  const stepParts: StepParts = {
    held,
    record,
    releaseSignal,
    stepSeconds: parts.stepSeconds,
    check,
    toRecord,
    store: (steps) => store([], steps),
    addUsage: (usage) => (taskUsage = addUsage(taskUsage ?? noUsage, usage)),
    onRecorded: parts.onRecorded,
  };
  const step = createStepRunner(stepParts);
  const history = createHistoryReader({ input, held, releaseSignal, check, log });
  const checkSpending = createSpendingCheck({
    owner: input.owner,
    definition: input.definition,
    checkCost: parts.checkCost,
    spentToday: parts.spentToday,
    usage: () => taskUsage,
  });

  const version = createVersionReader(record, async (marker) => {
    signal.throwIfAborted();
    await held.assertHeld();
    await store([], [marker]);
  });

  const fitMessage = createMessageFitter(files);

  const createProgress = (message: Message): NewEvent =>
    createProgressEvent(ids, parts.getStatusTime(), message);
  const storeWait = (wait: NewStep): Promise<void> => store([], [wait]);
  const waits = new Waits({
    held,
    signals: parts.signals,
    reach: (name) => record.reach(name, null),
    store: storeWait,
    timeOut: (wait) => retryWhileLeased(held, log, () => parts.timeOutCallback(wait)),
    createMessage: (text) => createAgentMessage(ids, text),
    createProgress,
    publicUrl: parts.publicUrl,
  });

  const artifacts = createTurnArtifacts({
    ids,
    files,
    check,
    run: (operation) => waits.run(operation),
    store: (events, steps) => store(events, steps),
  });

  const showProgress = async (content: Part[] | string, marks: readonly NewStep[] = []): Promise<void> => {
    check(checkContent, 'progress', content);
    await waits.run(async () => {
      const message = createAgentMessage(ids, await fitMessage(content));
      await store([createProgress(message)], marks);
    });
  };
  /** Output that is stored together with how far it is stored. */
  const streamed = {
    readArtifact: (artifactId: string) => files.readArtifact(artifactId),
    openArtifact: (head: Omit<Artifact, 'parts'>, stored: readonly Part[]) => artifacts.open(head, stored),
    showProgress: (content: Part[] | string, mark: NewStep) => showProgress(content, [mark]),
  };

  let openedChildren: Children | undefined;
  const openChildren = (): Children =>
    (openedChildren ??= parts.openChildren({
      held,
      task: parts.task,
      input,
      waits,
      reach: (name) => record.reach(name, null),
      usage: () => taskUsage,
      postpone: storeWait,
      createMessage: (text) => createAgentMessage(ids, text),
      showProgress: (message) => store([createProgress(message)]),
      record: async (step, result, used) => {
        const output = toRecord(step.name, result);
        if (used.length > 0) taskUsage = used.reduce(sumUsage, taskUsage ?? noUsage);
        await store([], [{ ...step, output }], used.length > 0);
      },
    }));

  const read = <T>(operation: () => Promise<T>): Promise<T> =>
    retryReadWhileLeased(held, log, operation, signal, releaseSignal);

  let openedCalls: OpenedCalls | undefined;
  const openCalls = (): OpenedCalls =>
    (openedCalls ??= parts.openCalls({
      held,
      releaseSignal,
      input,
      waits,
      publicUrl: parts.publicUrl,
      retry: (operation) => retryWhileLeased(held, log, operation),
      store: storeWait,
      record: async (step, result) => {
        const output = toRecord(step.name, result);
        await storeWait({ ...step, output });
        parts.onRecorded();
      },
    }));

  return {
    ...ids,
    parentTaskId: parts.task.isChild ? readParentTaskId(input.metadata) : undefined,
    owner: input.owner,
    tenant: input.tenant,
    number: lease.turn,
    message: input.message,
    references: input.references,
    metadata: input.metadata,
    acceptedOutputModes: input.acceptedOutputModes,
    definition: input.definition,
    signal,
    step: (name, run, options) => waits.run(() => step(name, run, options)),
    checkSpending: () => waits.run(checkSpending),
    openLog: () => openStateLog(stepParts, (operation) => waits.run(operation)),
    readSteps: (names, { maxTurns }) => waits.run(() => history.readSteps(names, maxTurns)),
    version: (name) => waits.run(() => version(name)),
    sleep: (name, until) => waits.sleep(name, until),
    callback: (name, options) => waits.callback(name, options),
    call: (agent, message, options) => openCalls().calls.call(agent, message, options),
    followTask: (name, options) => openCalls().toolTasks.follow(name, options),
    relay: () =>
      relayTurn({
        ...streamed,
        lease,
        input,
        calls: openCalls().calls,
        run: (operation) => waits.run(operation),
        readEarlierCall: (name) => read(() => input.readEarlierCall(name)),
        readFile: (url) => files.read(url),
      }),
    spawn: (name, messages, options) => openChildren().spawn(name, messages, options),
    join: (name, spawned, options) => openChildren().join(name, spawned, options),
    waitForModel: (name, options = {}) =>
      openModelWait(name, options, {
        ...streamed,
        waits,
        store: storeWait,
        publicUrl: parts.publicUrl,
      }),
    readStoredReply: (earlier) => waits.run(() => read(() => input.readStoredReply(earlier))),
    suspended: waits.suspended,
    usage: () => taskUsage,
    complete: async (outcome) => {
      check(checkOutcome, outcome);
      if (malformed !== undefined) throw malformed;
      record.assertAllReached();
      await artifacts.closeAll();
    },
    artifact: (artifact) => artifacts.write(artifact),
    openArtifact: (head) => artifacts.open(head),
    readHistory: ({ maxTurns = getHistoryTurns(input.definition) } = {}) =>
      waits.run(() => history.readHistory(maxTurns)),
    readFile: (url) => waits.run(() => files.read(url)),
    storeFile: async (part) => {
      check(checkPart, 'part', part);
      return waits.run(() => storeContent(files, part));
    },
    reserveMemory: (bytes) => waits.run(() => parts.reserveMemory(bytes)),
    storeOutcomeFiles: (outcome) => fitOutcome(outcome, fitMessage),
    progress: showProgress,
  };
}
