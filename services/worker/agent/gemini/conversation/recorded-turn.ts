/**
 * Replays an earlier turn of the same task through the loop: its steps return their recorded results and
 * nothing is written. The replay restores the conversation exactly as it was when the turn ended.
 */
import type { CallbackResult } from '#shared/domain/wait.ts';
import { awaitable } from '../../../turn/waits.ts';
import type { CallResult, EarlierTurn, Turn } from '../../agent.ts';
import type { ModelWaitingTurn } from '../../model-wait.ts';

/** The part of a turn that the loop uses. */
export type LoopTurn = Pick<
  ModelWaitingTurn,
  | 'number'
  | 'taskId'
  | 'waitForModel'
  | 'message'
  | 'signal'
  | 'step'
  | 'call'
  | 'followTask'
  | 'callback'
  | 'artifact'
  | 'openArtifact'
  | 'progress'
  | 'readFile'
  | 'references'
  | 'acceptedOutputModes'
>;

/** Thrown when the replay reaches a step that the turn never finished. */
export class NotRecordedError extends Error {
  override readonly name = 'NotRecordedError';
}

export function createRecordedTurn(
  { number, message, steps }: EarlierTurn,
  { taskId, signal, references, readFile }: Pick<Turn, 'taskId' | 'signal' | 'references' | 'readFile'>,
): LoopTurn {
  const results = new Map(steps.map(({ name, occurrence, result }) => [`${occurrence}/${name}`, result]));
  const occurrences = new Map<string, number>();
  const doNothing = async (): Promise<undefined> => undefined;
  const recall = (name: string): unknown => {
    const occurrence = occurrences.get(name) ?? 0;
    occurrences.set(name, occurrence + 1);
    const result = results.get(`${occurrence}/${name}`);
    if (result === undefined) throw new NotRecordedError(`turn ${number} has no step ${name} ${occurrence}`);
    return result;
  };
  return {
    number,
    taskId,
    message,
    references,
    acceptedOutputModes: [],
    signal,
    step: async <T>(name: string): Promise<T> => recall(name) as T,
    call: async (agent) => recall(`call:${agent}`) as CallResult,
    followTask: async (name) => recall(name) as CallResult,
    callback: async (name) => ({
      url: '',
      result: awaitable(async () => recall(name) as CallbackResult),
    }),
    waitForModel: async () => ({
      webhookUrl: undefined,
      token: '',
      known: true,
      reported: undefined,
      ended: doNothing,
      cursor: () => undefined,
      openArtifact: async () => ({ write: () => undefined, flush: doNothing, close: doNothing }),
      progress: doNothing,
    }),
    artifact: doNothing,
    openArtifact: () => ({ write: () => undefined, close: doNothing }),
    progress: doNothing,
    readFile,
  };
}
