/** The record of a turn from its earlier runs, which a turn that runs again must follow (invariant 7). */
import type { RecordedStep } from '#shared/db/turns/turn-content.ts';
import type { NewStep } from '#shared/db/turns/write.ts';
import { FatalError } from '#shared/domain/errors.ts';

export type StepIdentity = Pick<NewStep, 'name' | 'occurrence' | 'position' | 'inputHash'>;

/** A step as the agent reaches it, with its record from an earlier run. */
export interface ReachedStep {
  identity: StepIdentity;
  earlier: RecordedStep | undefined;
}

export class TurnRecord {
  /** The steps that this run has not reached yet. */
  readonly #left: Map<string, RecordedStep>;
  readonly #occurrences = new Map<string, number>();
  #nextPosition = 0;

  constructor(steps: readonly RecordedStep[]) {
    this.#left = new Map(
      steps.map((step) => [getStepKey(step.name, step.occurrence), { ...step, finished: hasEnded(step) }]),
    );
  }

  /**
   * Enters the next step of a name.
   *
   * @throws {FatalError} if an earlier run finished another step at this point
   */
  reach(name: string, inputHash: string | null): ReachedStep {
    const occurrence = this.#occurrences.get(name) ?? 0;
    this.#occurrences.set(name, occurrence + 1);
    const identity = { name, occurrence, position: this.#nextPosition++, inputHash };
    const key = getStepKey(name, occurrence);
    const earlier = this.#left.get(key);
    this.#left.delete(key);
    if (earlier?.finished !== true) this.#assertMatched(identity.position, `reached the step "${name}"`);
    return { identity, earlier };
  }

  /** @throws {FatalError} if the agent has ended without reaching a step that an earlier run finished */
  assertAllReached(): void {
    this.#assertMatched(Number.POSITIVE_INFINITY, 'ended its turn');
  }

  #assertMatched(position: number, reached: string): void {
    const missed = [...this.#left.values()].find((step) => step.finished && step.position <= position);
    if (missed === undefined) return;
    throw new FatalError(
      `The agent ${reached}, but an earlier run of this turn had finished the step "${missed.name}" before: ` +
        "the agent's code has changed since the turn started.",
    );
  }
}

/** A sleep ends by the clock alone: nothing records its end. */
function hasEnded({ finished, wait }: RecordedStep): boolean {
  return finished || (wait?.wait.kind === 'sleep' && wait.dueInSeconds <= 0);
}

/** Null characters are replaced as in the recorded names (shared/db/client/prepared.ts). */
function getStepKey(name: string, occurrence: number): string {
  return `${occurrence}/${name.replaceAll('\0', '\uFFFD')}`;
}
