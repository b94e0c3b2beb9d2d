/** Large answers are converted, written as JSON and sent in steps, between which the event loop is free for others. */
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { LargeWork } from '#shared/runtime/large-work.ts';
import { nextStep } from '../handler/call-state.ts';

/** Resolves when the first step may run. The bindings ask for the further ones by `nextStep`. */
export function startLargeAnswer(
  largeWork: LargeWork,
  context: ServerCallContext,
  owner: string,
): Promise<void> {
  nextStep.set(context, () => largeWork.start(owner));
  return largeWork.start(owner);
}
