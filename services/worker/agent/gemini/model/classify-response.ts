/**
 * Classifies a response of the model: tool calls to make, an answer, a response to request again, or a
 * failure. Each of Gemini's reasons has its own message, because clients read them.
 */
import type { FunctionCall } from '@google/genai';
import type { Part } from '#shared/domain/message.ts';
import { getResponseCalls, getResponseParts, type ModelResponse } from './response.ts';

export type ResponseClass =
  | { kind: 'calls'; calls: (FunctionCall & { name: string })[] }
  | { kind: 'answer'; parts: Part[]; truncated: boolean }
  /** The model is asked again, with the hint. After `maxRetries` in a row, the turn fails with the message. */
  | { kind: 'retry'; hint: string; message: string }
  /** `withdraw`: text that was already streamed must be removed. */
  | { kind: 'failed'; message: string; withdraw: boolean };

/** How often the model is asked again in a row because its reply was of no use. */
export const maxRetries = 3;
const times = `${maxRetries + 1} times in a row`;

export function classifyResponse(response: ModelResponse): ResponseClass {
  if (response.blockReason !== null) {
    const reason = blockMessages[response.blockReason] ?? response.blockReason;
    return failed(`The model refused the request: ${reason}.`, true);
  }
  const parts = getResponseParts(response);
  const hasContent = parts.some((part) => part.raw ?? part.url ?? part.text?.trim());
  const calls = getResponseCalls(response);
  const reason = response.finishReason ?? 'STOP';
  switch (reason) {
    case 'STOP':
    case 'FINISH_REASON_UNSPECIFIED':
      if (calls.length > 0) return { kind: 'calls', calls };
      if (hasContent) return { kind: 'answer', parts, truncated: false };
      return {
        kind: 'retry',
        hint: 'Your last reply was empty. Give your answer now, as text.',
        message: `The model gave an empty answer ${times}.`,
      };
    case 'MAX_TOKENS':
      if (hasContent) return { kind: 'answer', parts, truncated: true };
      return failed('The model reached its limit of output tokens before it wrote an answer.');
    case 'BUDGET_EXCEEDED':
      if (hasContent) return { kind: 'answer', parts, truncated: true };
      return failed('The call used up its budget at Google before it wrote an answer.');
    case 'FAILED':
      return failed(`The model refused the request: ${response.finishMessage ?? 'no reason given'}`);
    case 'CANCELLED':
      return failed(response.finishMessage ?? 'The call was canceled at Google.');
    case 'MALFORMED_FUNCTION_CALL':
    case 'UNEXPECTED_TOOL_CALL':
    case 'MALFORMED_RESPONSE':
      return {
        kind: 'retry',
        hint: 'Your last reply could not be read: its function call was malformed or is not declared. Call a declared function with valid JSON arguments, or answer as text.',
        message: `The model gave an unreadable reply ${times} (${reason}).`,
      };
    case 'OTHER':
      return {
        kind: 'retry',
        hint: 'Your last reply ended early for an unknown reason. Give your whole reply again.',
        message: `The model stopped without an answer ${times} (OTHER).`,
      };
    default: {
      const explanation = stopMessages[reason];
      return failed(
        explanation === undefined
          ? `The model stopped without an answer (${reason}).`
          : `The model stopped its answer: ${explanation}.`,
        explanation !== undefined,
      );
    }
  }
}

function failed(message: string, withdraw = false): ResponseClass {
  return { kind: 'failed', message, withdraw };
}

const blockMessages: Record<string, string> = {
  SAFETY: 'its safety filters blocked it',
  BLOCKLIST: 'it contains a term on a blocklist',
  PROHIBITED_CONTENT: 'it contains prohibited content',
  IMAGE_SAFETY: 'its safety filters blocked an image',
  MODEL_ARMOR: 'Model Armor blocked it',
  JAILBREAK: 'it looks like an attempt to circumvent the rules',
  OTHER: 'it was blocked for an unspecified reason',
};

const stopMessages: Record<string, string> = {
  SAFETY: 'its safety filters rated the answer as unsafe',
  RECITATION: 'the answer was too similar to an existing text',
  BLOCKLIST: 'the answer contained a term on a blocklist',
  PROHIBITED_CONTENT: 'the answer contained prohibited content',
  SPII: 'the answer contained sensitive personal information',
  LANGUAGE: 'the language is not supported',
  IMAGE_SAFETY: 'its safety filters rated an image as unsafe',
  IMAGE_PROHIBITED_CONTENT: 'an image contained prohibited content',
  IMAGE_RECITATION: 'an image was too similar to an existing one',
};
