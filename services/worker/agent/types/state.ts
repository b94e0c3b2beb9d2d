/** State that an agent records itself, and what earlier turns have recorded. */
import type { Json } from '#shared/domain/message.ts';
import type { ModelUsage } from '#shared/domain/usage.ts';

export interface StateEntry {
  readonly name: string;
  readonly value: Json;
}

/** The state of a turn whose agent continues from it, in place of running its steps again. */
export interface StateLog {
  /** The record of earlier runs of this turn, steps included, oldest first. */
  readonly entries: readonly StateEntry[];
  /** Aborts when the process stops: what runs may end and be recorded, but nothing new may start. */
  readonly stopping: AbortSignal;
  /**
   * Records an entry, as a step that has run. Entries that are appended without waiting for each other are stored
   * together, in their order.
   *
   * @param name few distinct values, as for steps
   * @param options.usage of a model call. It is counted for the task and its owner
   * @throws {FatalError} if the value is not JSON, or the record of the turn is too large
   * @throws {LeaseLostError} if the turn no longer belongs to this worker. Do not catch it
   */
  append(name: string, value: Json, options?: { usage?: ModelUsage }): Promise<void>;
}

/** Steps of an earlier turn of the context, in order. */
export interface EarlierSteps {
  readonly taskId: string;
  /** The number of the turn within that task. */
  readonly turn: number;
  readonly steps: readonly { name: string; occurrence: number; result: Json }[];
}
