/** Counts the calls of a tool that are in flight at the same time, by the name of their step. */
import type { Receiver } from './webhooks/receiver.ts';

export interface ToolCalls {
  /** The calls of steps of this name that are in flight. */
  inFlight(step: string): number;
  /** The most calls of steps of this name that were in flight at the same time. */
  most(step: string): number;
  /** Answers all calls in flight, and each later call after `ms` milliseconds. */
  answerAfter(ms: number): void;
}

/** From now on, the tool answers no call before `answerAfter`. */
export function trackCalls(tool: Receiver): ToolCalls {
  const inFlight = new Map<string, number>();
  const most = new Map<string, number>();
  const answering = Promise.withResolvers<number>();
  tool.answerBy(async ({ body }, response) => {
    const step = body.split('/')[2] ?? '';
    const add = (change: number): number => {
      const count = (inFlight.get(step) ?? 0) + change;
      inFlight.set(step, count);
      return count;
    };
    most.set(step, Math.max(most.get(step) ?? 0, add(1)));
    // Also when the worker dies.
    response.on('close', () => add(-1));
    const ms = await answering.promise;
    await new Promise((resolve) => setTimeout(resolve, ms));
    return 200;
  });
  return {
    inFlight: (step) => inFlight.get(step) ?? 0,
    most: (step) => most.get(step) ?? 0,
    answerAfter: answering.resolve,
  };
}
