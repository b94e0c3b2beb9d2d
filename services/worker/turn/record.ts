/** The record of a turn from its earlier runs, which a turn that runs again must follow (invariant 7). */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RecordedStep } from '#shared/db/turns/turn-content.ts';
import type { NewStep } from '#shared/db/turns/write.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import { errorMessage } from '#shared/runtime/log.ts';

export type StepIdentity = Pick<NewStep, 'name' | 'occurrence' | 'position' | 'inputHash'>;

/** A step as the agent reaches it, with its record from an earlier run. */
export interface ReachedStep {
  identity: StepIdentity;
  earlier: RecordedStep | undefined;
}

/** Ends the error of a turn whose agent does not follow its record. */
export const codeChanged =
  "the agent's code has changed since the turn started. Branch for turns from before a change with turn.version (docs/develop/versions.md)";

/** How long a step waits for others that replay at the same time. Only code between recorded steps takes time. */
const replayMs = 1_000;
const pollMs = 5;

/** Precedes the name of a marker: the step that records that a turn takes the code of a change. */
const markerPrefix = 'version:';

export class TurnRecord {
  /** The steps that this run has not reached yet. */
  readonly #left: Map<string, RecordedStep>;
  readonly #occurrences = new Map<string, number>();
  /** The keys of all steps, recorded or reached, so that a step that is matched by its input finds a free number. */
  readonly #taken: Set<string>;
  /** By name: all lower numbers are taken. */
  readonly #firstFree = new Map<string, number>();
  /** Whether the steps of a name are matched by their input. */
  readonly #matched = new Map<string, boolean>();
  #nextPosition = 0;
  #isRestored = false;

  constructor(steps: readonly RecordedStep[]) {
    this.#left = new Map(
      steps.map((step) => [getStepKey(step.name, step.occurrence), { ...step, finished: hasEnded(step) }]),
    );
    this.#taken = new Set(this.#left.keys());
  }

  /**
   * Enters the next step of a name.
   *
   * @throws {FatalError} if an earlier run finished another step at this point
   */
  reach(name: string, inputHash: string | null): ReachedStep {
    this.#enter(name, false);
    const occurrence = this.#occurrences.get(name) ?? 0;
    this.#occurrences.set(name, occurrence + 1);
    const identity = { name, occurrence, position: this.#nextPosition++, inputHash };
    const key = getStepKey(name, occurrence);
    const earlier = this.#left.get(key);
    this.#left.delete(key);
    if (earlier?.finished !== true) this.#assertMatched(identity.position, `reached the step "${name}"`);
    return { identity, earlier };
  }

  /**
   * Enters the next step of a name and an input. Steps that run side by side may be reached in another order than in
   * earlier runs, so a step without a record waits until those that were recorded before it have been reached.
   *
   * @throws {FatalError} if they are not reached within `replayMs`: the code has changed
   */
  async reachByInput(name: string, inputHash: string): Promise<ReachedStep> {
    this.#enter(name, true);
    const position = this.#nextPosition++;
    const earlier = [...this.#left.values()]
      .filter((step) => step.name === toRecordedName(name) && step.inputHash === inputHash)
      .sort((a, b) => a.occurrence - b.occurrence)[0];
    const occurrence = earlier?.occurrence ?? this.#findFree(name);
    const key = getStepKey(name, occurrence);
    this.#taken.add(key);
    this.#left.delete(key);
    const identity = { name, occurrence, position, inputHash };
    if (earlier?.finished !== true) {
      for (let waitedMs = 0; this.#findMissed(position) && waitedMs < replayMs; waitedMs += pollMs) {
        await sleep(pollMs);
      }
      this.#assertMatched(position, `reached the step "${name}"`);
    }
    return { identity, earlier };
  }

  /** @throws {FatalError} if the name is not valid, or its steps are matched otherwise */
  #enter(name: string, byInput: boolean): void {
    if (name.startsWith(markerPrefix)) {
      throw new FatalError(
        `The name "${name}" is not valid: names that start with "${markerPrefix}" are of turn.version.`,
      );
    }
    const matched = this.#matched.get(name) ?? byInput;
    this.#matched.set(name, matched);
    if (matched === byInput) return;
    throw new FatalError(`matchInput of the step "${name}" must be the same for all steps of this name.`);
  }

  #findFree(name: string): number {
    let occurrence = this.#firstFree.get(name) ?? 0;
    while (this.#taken.has(getStepKey(name, occurrence))) occurrence += 1;
    this.#firstFree.set(name, occurrence);
    return occurrence;
  }

  /**
   * Decides whether the turn takes the code of a change: unless an earlier run has recorded something after this point,
   * when it did not.
   *
   * @returns the marker that records the decision, the first time that it is positive
   */
  reachVersion(name: string): { isNew: boolean; marker?: StepIdentity } {
    const marker = {
      name: markerPrefix + name,
      occurrence: 0,
      position: this.#nextPosition,
      inputHash: null,
    };
    const isRecorded = this.#left.delete(getStepKey(marker.name, 0));
    if (isRecorded) return { isNew: true };
    return this.#left.size > 0 ? { isNew: false } : { isNew: true, marker };
  }

  /**
   * Enters all steps that have finished, for an agent that continues from their results: it reaches none of them again.
   * Waits and markers stay.
   */
  restore(): RecordedStep[] {
    this.#isRestored = true;
    const steps = [...this.#left.values()]
      .filter(({ wait, name }) => wait === null && !name.startsWith(markerPrefix))
      .toSorted((a, b) => a.position - b.position);
    for (const { name, occurrence, position } of steps) {
      this.#left.delete(getStepKey(name, occurrence));
      this.#occurrences.set(name, Math.max(this.#occurrences.get(name) ?? 0, occurrence + 1));
      this.#nextPosition = Math.max(this.#nextPosition, position + 1);
    }
    return steps.filter(({ finished }) => finished);
  }

  /** @throws {FatalError} if the agent has ended without reaching a step that an earlier run finished */
  assertAllReached(): void {
    this.#assertMatched(Number.POSITIVE_INFINITY, 'ended its turn');
  }

  #findMissed(position: number): RecordedStep | undefined {
    if (this.#isRestored) return undefined;
    for (const step of this.#left.values()) {
      // A marker may be left behind when its call is removed.
      if (step.finished && step.position <= position && !step.name.startsWith(markerPrefix)) return step;
    }
    return undefined;
  }

  #assertMatched(position: number, reached: string): void {
    const missed = this.#findMissed(position);
    if (missed === undefined) return;
    throw new FatalError(
      `The agent ${reached}, but an earlier run of this turn had finished the step "${missed.name}" before: ` +
        `${codeChanged}.`,
    );
  }
}

/** A sleep ends by the clock alone: nothing records its end. */
function hasEnded({ finished, wait }: RecordedStep): boolean {
  return finished || (wait?.wait.kind === 'sleep' && wait.dueInSeconds <= 0);
}

function getStepKey(name: string, occurrence: number): string {
  return `${occurrence}/${toRecordedName(name)}`;
}

/** Null characters are replaced as in the recorded names (shared/db/client/prepared.ts). */
function toRecordedName(name: string): string {
  return name.replaceAll('\0', '\uFFFD');
}

/**
 * Returns a function that turns the results of steps into JSON.
 *
 * @param recordedBytes the size of the results that earlier runs have recorded
 * @param maxBytes maximum size of all results of the turn
 * @throws {FatalError} if a result is not JSON, or the record of the turn would be too large to be read again
 */
export function createResultWriter(
  recordedBytes: number,
  maxBytes: number,
): (name: string, result: unknown) => string {
  let usedBytes = recordedBytes;
  return (name, result) => {
    const text = stringifyResult(name, result);
    const bytes = Buffer.byteLength(text);
    if (usedBytes + bytes > maxBytes) {
      throw new FatalError(
        `The step "${name}" returned ${bytes} bytes of JSON after ${usedBytes} bytes of earlier steps: ` +
          `the steps of one turn can record at most ${maxBytes} bytes together.`,
      );
    }
    usedBytes += bytes;
    return text;
  };
}

/** @throws {FatalError} if the result is not JSON: another run of the step would return the same */
function stringifyResult(name: string, result: unknown): string {
  let problem = `it is a ${typeof result}`;
  try {
    // JSON.stringify returns undefined for a function or a symbol.
    const text = JSON.stringify(result) as string | undefined;
    if (text !== undefined) return text;
  } catch (error) {
    problem = errorMessage(error);
  }
  throw new FatalError(`The result of the step "${name}" is not JSON: ${problem}.`);
}

export function hashInput(input: Json | JsonObject | undefined): string | null {
  return input === undefined ? null : createHash('sha256').update(JSON.stringify(input)).digest('base64url');
}
