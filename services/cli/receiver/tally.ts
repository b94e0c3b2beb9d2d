/** Counts the webhooks of each task, for a smoke test that asks over HTTP. Bounded: the oldest tasks are forgotten. */
const maxTasks = 1_000;

export interface TaskTally {
  /** Webhooks whose signature was verified. */
  verified: number;
  /** Whether one of them had the whole task, because it has ended or waits for its caller. */
  settled: boolean;
}

export class Tally {
  readonly #tasks = new Map<string, TaskTally>();

  add(taskId: string, settled: boolean): void {
    const before = this.get(taskId);
    this.#tasks.delete(taskId);
    this.#tasks.set(taskId, { verified: before.verified + 1, settled: before.settled || settled });
    for (const oldest of this.#tasks.keys()) {
      if (this.#tasks.size <= maxTasks) break;
      this.#tasks.delete(oldest);
    }
  }

  get(taskId: string): TaskTally {
    return this.#tasks.get(taskId) ?? { verified: 0, settled: false };
  }
}
