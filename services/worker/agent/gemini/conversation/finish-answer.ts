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
    ...(truncated && { truncated: true, finishReason: 'MAX_TOKENS' }),
  };
  // Streamed text is complete already if the answer is only text and has no metadata.
  const plain = Object.keys(metadata).length === 0 && parts.every(({ text }) => text !== undefined);
  if (!streamed || !plain) await artifact.replace(toAcceptedModes(parts, acceptedOutputModes), metadata);
  if (!truncated) return { state: 'TASK_STATE_COMPLETED' };
  return {
    state: 'TASK_STATE_COMPLETED',
    message: "The answer was cut at the model's limit of output tokens.",
  };
}

/** Parses the text as JSON. Data is never streamed. */
export async function finishWithData(
  artifact: AnswerArtifact,
  { response, truncated, acceptedOutputModes }: FinishedAnswer,
): Promise<TurnOutcome> {
  let data: Json;
  try {
    data = JSON.parse(getResponseText(response)) as Json;
  } catch {
    const problem = truncated ? 'was cut at its limit of output tokens' : 'is not valid JSON';
    return { state: 'TASK_STATE_FAILED', message: `The model's answer ${problem}.` };
  }
  await artifact.replace(toAcceptedModes([{ data, mediaType: 'application/json' }], acceptedOutputModes));
  return { state: 'TASK_STATE_COMPLETED' };
}
