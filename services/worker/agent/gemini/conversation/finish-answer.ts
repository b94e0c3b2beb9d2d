/** Ends a turn with an answer: completes its artifact from the response and returns the outcome. */
import type { Json, JsonObject, Part } from '#shared/domain/message.ts';
import type { TurnOutcome } from '../../agent.ts';
import { getResponseText, type ModelResponse } from '../model/response.ts';
import { toAcceptedModes } from './accepted-modes.ts';
import type { AnswerArtifact } from './answer-artifact.ts';

export interface FinishedAnswer {
  response: ModelResponse;
  parts: readonly Part[];
  /** The response ends at the model's limit of output tokens. */
  truncated: boolean;
  /** The text of the response was streamed into the artifact. */
  streamed: boolean;
  acceptedOutputModes: readonly string[];
}

export async function finishWithParts(
  artifact: AnswerArtifact,
  { response, parts, truncated, streamed, acceptedOutputModes }: FinishedAnswer,
): Promise<TurnOutcome> {
  const metadata: JsonObject = {
    ...response.sources,
    ...(truncated && { truncated: true, finishReason: response.finishReason }),
  };
  // Streamed text is complete already if the answer is only text and has no metadata.
  const plain = Object.keys(metadata).length === 0 && parts.every(({ text }) => text !== undefined);
  if (!streamed || !plain) await artifact.replace(toAcceptedModes(parts, acceptedOutputModes), metadata);
  if (!truncated) return { state: 'TASK_STATE_COMPLETED' };
  const limit =
    response.finishReason === 'MAX_TOKENS'
      ? "the model's limit of output tokens"
      : 'the budget of the call at Google';
  return { state: 'TASK_STATE_COMPLETED', message: `The answer was cut at ${limit}.` };
}

export async function finishWithData(
  artifact: AnswerArtifact,
  data: Json,
  acceptedOutputModes: readonly string[],
): Promise<TurnOutcome> {
  await artifact.replace(toAcceptedModes([{ data, mediaType: 'application/json' }], acceptedOutputModes));
  return { state: 'TASK_STATE_COMPLETED' };
}

/** Fails a turn whose answer is not the data that it should be. Its text is kept as the artifact. */
export async function keepText(
  artifact: AnswerArtifact,
  { response, truncated, problem }: { response: ModelResponse; truncated: boolean; problem: string },
): Promise<TurnOutcome> {
  await artifact.replace([{ text: getResponseText(response) }], { invalid: true });
  const message = truncated ? "The model's answer was cut at its limit of output tokens." : problem;
  return { state: 'TASK_STATE_FAILED', message: `${message} Its text is kept in the artifact.` };
}
