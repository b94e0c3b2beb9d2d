/**
 * One turn as its agent sees it: steps that run once, artifacts, progress. Every write goes through the gate under the
 * turn's lease; a write that is refused aborts the turn (invariant 3).
 */
import { createHash } from 'node:crypto';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import type { TurnInput } from '#shared/db/turns/input.ts';
import type { NewEvent, NewStep, WriteTurn } from '#shared/db/turns/write.ts';
import type { EventPayload } from '#shared/domain/events.ts';
import { FatalError } from '#shared/domain/errors.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { Artifact, Json, JsonObject, Message, Part } from '#shared/domain/message.ts';
import { addUsage, noUsage, type Usage } from '#shared/domain/usage.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import type { Logger } from '#shared/runtime/log.ts';
import type {
  ArtifactStream,
  EarlierTurn,
  HistoryEntry,
  StepContext,
  StepOptions,
  Turn,
  TurnOutcome,
} from '../agent/agent.ts';
import { artifactEvent, artifactUpdate, openArtifactStream } from './artifact-stream.ts';
import type { FilesOf } from './files.ts';
import { retryWhileLeased } from './retry-while-leased.ts';
import type { HeldLease } from './lease-heartbeat.ts';
import { runWithPolicy } from './step-policy.ts';
import { inStepSpan } from './step-span.ts';

export interface OwnTurn extends Turn {
  /** What the turn comes to, with its large parts stored. */
  settled(outcome: TurnOutcome): Promise<TurnOutcome>;
  /** @throws {FatalError} when the agent has ended without asking for a step that it had finished before */
  assertAllMatched(): void;
  /**
   * What the models took for the whole task so far; undefined where none was called. No getter: one that each turn makes
   * gives each a hidden class of its own, which keeps the turn until the next full collection.
   */
  usage(): Usage | undefined;
}

export interface TurnParts {
  held: HeldLease;
  input: TurnInput;
  /** Aborts when the turn is to be given back as soon as it can be: no further step begins. */
  checkpoint: AbortSignal;
  /** The bound of steps that name none. */
  stepSeconds?: number | undefined;
  write: WriteTurn;
  filesOf: FilesOf;
  outbox: OutboxPublisher;
  log: Logger;
}

export function createTurn(parts: TurnParts): OwnTurn {
  const { held, input, checkpoint, write, outbox, log } = parts;
  const { lease, signal } = held;
  const files = parts.filesOf(lease, input);
  const ids = { taskId: lease.taskId, contextId: input.contextId };
  const recorded = new Map(input.steps.map((step) => [stepKey(step.name, step.occurrence), step]));
  const occurrences = new Map<string, number>();
  let position = 0;
  let taskUsage = input.usage;

  async function store(events: readonly NewEvent[], steps: readonly NewStep[] = []): Promise<void> {
    const used = steps.some((step) => step.usage !== undefined);
    const { wakeups } = await write({ lease, events, steps, ...(used && { taskUsage }) });
    outbox.publish(wakeups);
    // It may have taken long, or the process was paused meanwhile: nothing is begun under a lease that has run out.
    held.assertHeld();
  }

  async function step<T extends Json | void>(
    name: string,
    run: (step: StepContext) => Promise<T>,
    options: StepOptions = {},
  ): Promise<T> {
    const occurrence = occurrences.get(name) ?? 0;
    occurrences.set(name, occurrence + 1);
    const place = { name, occurrence, position: position++, inputHash: hashOf(options.input) };
    const before = recorded.get(stepKey(name, occurrence));
    recorded.delete(stepKey(name, occurrence));
    if (before?.finished === true) return before.output as T;
    assertMatched(place.position, `reached the step "${name}"`);
    signal.throwIfAborted();
    checkpoint.throwIfAborted();
    held.assertHeld();
    if (options.sideEffects === true) await store([], [{ ...place, output: null }]);
    const idempotencyKey = `${lease.taskId}/${lease.turn}/${name}/${occurrence}`;
    const runHeld = (context: StepContext): Promise<T> => {
      held.assertHeld();
      return run(context);
    };
    const policy = { timeoutSeconds: parts.stepSeconds, ...options };
    return inStepSpan(place, async () => {
      const result = await runWithPolicy(runHeld, idempotencyKey, signal, policy);
      passFaultPoint('step-run');
      const output: Json = result ?? null;
      const usage = options.usage?.(output);
      if (usage !== undefined) taskUsage = addUsage(taskUsage ?? noUsage, usage);
      const record: NewStep = { ...place, output: JSON.stringify(output), ...(usage && { usage }) };
      // What has run is not to run again because the database is away for a moment.
      await retryWhileLeased(held, log, () => store([], [record]));
      passFaultPoint('step-recorded');
      return result;
    });
  }

  async function settled(content: Part[] | string): Promise<Part[] | string> {
    return typeof content === 'string' ? content : files.settle(content);
  }

  /** A finished step that stood at or before this place, and that the agent has not asked for, cannot be matched. */
  function assertMatched(place: number, what: string): void {
    const missed = [...recorded.values()].find((one) => one.finished && one.position <= place);
    if (missed === undefined) return;
    throw new FatalError(
      `The agent ${what}, where an earlier run of this turn had finished the step "${missed.name}": ` +
        'its code has changed while the turn was under way.',
    );
  }

  return {
    ...ids,
    owner: input.owner,
    tenant: input.tenant,
    number: lease.turn,
    message: input.message,
    history: historyOf(input),
    references: input.references,
    earlierTurns: earlierTurnsOf(input, lease.taskId),
    metadata: input.metadata,
    acceptedOutputModes: input.acceptedOutputModes,
    definition: input.definition,
    signal,
    step,
    usage: () => taskUsage,
    assertAllMatched: () => assertMatched(Number.POSITIVE_INFINITY, 'ended its turn'),
    artifact: async (artifact: Artifact) => {
      const whole = { ...artifact, parts: await files.settle(artifact.parts) };
      await store([artifactEvent(artifactUpdate(ids, whole, { append: false, lastChunk: true }), whole)]);
    },
    openArtifact: (head): ArtifactStream =>
      openArtifactStream(
        { ...ids, settle: (parts) => files.settle(parts), write: (event) => store([event]) },
        head,
      ),
    readFile: (url) => files.read(url),
    settled: async (outcome) => {
      if ('direct' in outcome) return { direct: await settled(outcome.direct) };
      return outcome.message === undefined
        ? outcome
        : { ...outcome, message: await settled(outcome.message) };
    },
    progress: async (content) => {
      const message = agentMessage(ids, await settled(content));
      const payload: EventPayload = {
        statusUpdate: {
          ...ids,
          status: { state: 'TASK_STATE_WORKING', message, timestamp: new Date().toISOString() },
        },
      };
      await store([
        { kind: 'progress', payload: JSON.stringify(payload), statusMessage: JSON.stringify(message) },
      ]);
    },
  };
}

export function agentMessage(
  ids: { taskId: string; contextId: string },
  content: readonly Part[] | string,
  extensions?: string[],
): Message {
  return {
    messageId: uuidv7(),
    ...ids,
    role: 'ROLE_AGENT',
    parts: typeof content === 'string' ? [{ text: content }] : [...content],
    ...(extensions !== undefined && { extensions }),
  };
}

function historyOf(input: TurnInput): HistoryEntry[] {
  return input.earlier.flatMap(({ taskId, turn, message, artifacts, answer }) => {
    const parts = [...artifacts.flatMap((artifact) => artifact.parts), ...(answer?.parts ?? [])];
    const said: HistoryEntry[] = [{ taskId, turn, role: 'user', parts: message.parts }];
    if (parts.length > 0) said.push({ taskId, turn, role: 'agent', parts });
    return said;
  });
}

function earlierTurnsOf({ earlier, earlierSteps }: TurnInput, taskId: string): EarlierTurn[] {
  const steps = Map.groupBy(earlierSteps, ({ turn }) => turn);
  return earlier
    .filter((one) => one.taskId === taskId)
    .map(({ turn, message }) => ({
      number: turn,
      message,
      steps: (steps.get(turn) ?? []).map(({ name, occurrence, output }) => ({
        name,
        occurrence,
        result: output,
      })),
    }));
}

function stepKey(name: string, occurrence: number): string {
  return `${occurrence}/${name}`;
}

function hashOf(input: Json | JsonObject | undefined): string | null {
  return input === undefined ? null : createHash('sha256').update(JSON.stringify(input)).digest('base64url');
}
