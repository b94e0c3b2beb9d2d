/**
 * What one reply of the model means for the turn: tools to call, an answer, a reply that is asked for once more, or the
 * end. Every reason that Gemini gives has its own words, because the client reads them.
 */
import type { FunctionCall } from '@google/genai';
import type { Part } from '#shared/domain/message.ts';
import { callsOf, partsOf } from './response.ts';
import type { ModelResponse } from './response.ts';

export type ResponseClass =
  | { kind: 'calls'; calls: (FunctionCall & { name: string })[] }
  | { kind: 'answer'; parts: Part[]; truncated: boolean }
  /** Ask once more, with a hint; should it happen again, the turn fails with the message. */
  | { kind: 'again'; hint: string; message: string }
  /** `withdraw`: text that was streamed already must not stay. */
  | { kind: 'failed'; message: string; withdraw: boolean };

export function classifyResponse(record: ModelResponse): ResponseClass {
  if (record.blockReason !== null) {
    return failed(
      `The model refused the request: ${refusals[record.blockReason] ?? record.blockReason}.`,
      true,
    );
  }
  const parts = partsOf(record);
  const any = parts.some((part) => part.raw ?? part.url ?? part.text?.trim());
  const calls = callsOf(record);
  const reason = record.finishReason ?? 'STOP';
  switch (reason) {
    case 'STOP':
    case 'FINISH_REASON_UNSPECIFIED':
      if (calls.length > 0) return { kind: 'calls', calls };
      if (any) return { kind: 'answer', parts, truncated: false };
      return {
        kind: 'again',
        hint: 'Your last reply was empty. Give your answer now, as text.',
        message: 'The model gave an empty answer, twice.',
      };
    case 'MAX_TOKENS':
      if (any) return { kind: 'answer', parts, truncated: true };
      return failed('The model reached its limit of output tokens before it wrote any answer.');
    case 'MALFORMED_FUNCTION_CALL':
    case 'UNEXPECTED_TOOL_CALL':
    case 'MALFORMED_RESPONSE':
      return {
        kind: 'again',
        hint: 'Your last reply could not be read: its function call was malformed or is not declared. Call a declared function with valid JSON arguments, or answer as text.',
        message: `The model gave an unreadable reply, twice (${reason}).`,
      };
    default: {
      const why = stops[reason];
      return failed(
        why === undefined
          ? `The model stopped without an answer (${reason}).`
          : `The model stopped its answer: ${why}.`,
        why !== undefined,
      );
    }
  }
}

function failed(message: string, withdraw = false): ResponseClass {
  return { kind: 'failed', message, withdraw };
}

const refusals: Record<string, string> = {
  SAFETY: 'its safety filters blocked it',
  BLOCKLIST: 'it has a term that is on a blocklist',
  PROHIBITED_CONTENT: 'it has content that is prohibited',
  IMAGE_SAFETY: 'its safety filters blocked an image',
  MODEL_ARMOR: 'Model Armor blocked it',
  JAILBREAK: 'it was taken for an attempt to break the rules',
  OTHER: 'it was blocked for a reason that is not told',
};

const stops: Record<string, string> = {
  SAFETY: 'its safety filters found the answer unsafe',
  RECITATION: 'the answer came too close to an existing text',
  BLOCKLIST: 'the answer had a term that is on a blocklist',
  PROHIBITED_CONTENT: 'the answer had content that is prohibited',
  SPII: 'the answer had sensitive personal information',
  LANGUAGE: 'the language is not supported',
  IMAGE_SAFETY: 'its safety filters found an image unsafe',
  IMAGE_PROHIBITED_CONTENT: 'an image had content that is prohibited',
  IMAGE_RECITATION: 'an image came too close to an existing one',
};
