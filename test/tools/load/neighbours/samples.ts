/** The observations of the measured owner: latencies of each operation, and the fate of its tasks and webhooks, by phase. */
import { getPercentile } from '../../percentile.ts';

/** `pause`: no operation starts. */
export type Phase = 'warm-up' | 'alone' | 'pause' | 'hostile';

export const operations = ['send', 'task', 'get', 'webhook'] as const;
export type Operation = (typeof operations)[number];

/** The parts of a whole task: until its first event, until a worker has claimed it, and until it has ended. */
export const stages = ['accepted', 'claimed', 'completed'] as const;
export type Stage = (typeof stages)[number];

/** Milliseconds. */
export interface Latency {
  count: number;
  p50: number;
  p99: number;
}

export interface PhaseReport {
  latencies: Record<Operation, Latency>;
  stages: Record<Stage, Latency>;
  /** Operations without an answer, tasks that failed or did not end, webhooks that did not arrive. */
  unanswered: number;
  tasksLost: number;
  webhooksLost: number;
}

export interface GoodReport {
  phases: Record<'alone' | 'hostile', PhaseReport>;
  /** Failed requests, which were repeated, by kind. */
  errors: Record<string, number>;
}

interface Webhooks {
  /** Latencies in milliseconds, and the number of webhooks that did not arrive. */
  read(phase: Phase): { latencies: number[]; lost: number };
}

export class Samples {
  readonly #latencies = new Map<string, number[]>();
  readonly #unanswered = new Map<Phase, number>();
  readonly #lost = new Map<Phase, number>();
  readonly #errors: Record<string, number> = {};

  /** An operation without an answer counts with the time that it has waited. */
  add(phase: Phase, operation: Operation, ms: number, isAnswered: boolean): void {
    this.#addLatency(phase, operation, ms);
    if (!isAnswered) this.#unanswered.set(phase, (this.#unanswered.get(phase) ?? 0) + 1);
  }

  addStage(phase: Phase, stage: Stage, ms: number): void {
    this.#addLatency(phase, stage, ms);
  }

  #addLatency(phase: Phase, name: Operation | Stage, ms: number): void {
    const key = `${phase} ${name}`;
    this.#latencies.set(key, [...(this.#latencies.get(key) ?? []), ms]);
  }

  /** Records the final state of an accepted task; undefined: it did not end. */
  addTask(phase: Phase, state: string | undefined): void {
    if (state !== 'TASK_STATE_COMPLETED') this.#lost.set(phase, (this.#lost.get(phase) ?? 0) + 1);
  }

  addError(kind: string): void {
    this.#errors[kind] = (this.#errors[kind] ?? 0) + 1;
  }

  report(webhooks: Webhooks): GoodReport {
    const report = (phase: Phase): PhaseReport => {
      const { latencies, lost } = webhooks.read(phase);
      const of = (name: Operation | Stage) => summarise(this.#latencies.get(`${phase} ${name}`) ?? []);
      return {
        latencies: { send: of('send'), task: of('task'), get: of('get'), webhook: summarise(latencies) },
        stages: { accepted: of('accepted'), claimed: of('claimed'), completed: of('completed') },
        unanswered: this.#unanswered.get(phase) ?? 0,
        tasksLost: this.#lost.get(phase) ?? 0,
        webhooksLost: lost,
      };
    };
    return { phases: { alone: report('alone'), hostile: report('hostile') }, errors: this.#errors };
  }
}

function summarise(latencies: readonly number[]): Latency {
  const sorted = latencies.toSorted((a, b) => a - b);
  return {
    count: sorted.length,
    p50: getPercentile(sorted, 0.5) ?? NaN,
    p99: getPercentile(sorted, 0.99) ?? NaN,
  };
}
