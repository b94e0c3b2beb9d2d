/** Counts the calls of a tool that are in flight at the same time, by the name of their step, and holds them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Receiver } from '../webhooks/receiver.ts';

export interface ToolCalls {
  /** The number of calls of steps of this name that are in flight. */
  inFlight(step: string): number;
  /** The most calls of steps of this name that were in flight at the same time. */
  most(step: string): number;
  /** Answers the oldest call of a step of this name. */
  answerOne(step: string): void;
  /** Answers all calls in flight, and each later call after `ms` milliseconds. */
  answerAfter(ms: number): void;
}

/** From now on, the tool answers calls only as the test says. */
export function trackCalls(tool: Receiver): ToolCalls {
  /** The functions that answer the calls in flight, in order. */
  const inFlight = new Map<string, Set<() => void>>();
  const most = new Map<string, number>();
  let answerMs: number | undefined;
  tool.answerBy(async ({ body }, response) => {
    const step = body.split('/')[2] ?? '';
    const { promise, resolve } = Promise.withResolvers<void>();
    const calls = inFlight.get(step) ?? new Set();
    inFlight.set(step, calls.add(resolve));
    most.set(step, Math.max(most.get(step) ?? 0, calls.size));
    // Including when the worker dies.
    response.on('close', () => calls.delete(resolve));
    await (answerMs === undefined ? promise : sleep(answerMs));
    return 200;
  });
  return {
    inFlight: (step) => inFlight.get(step)?.size ?? 0,
    most: (step) => most.get(step) ?? 0,
    answerOne: (step) => {
      const [answer] = inFlight.get(step) ?? [];
      answer?.();
    },
    answerAfter: (ms) => {
      answerMs = ms;
      for (const calls of inFlight.values()) for (const answer of calls) answer();
    },
  };
}
