/**
 * What was said, in the form that the semantic conventions of generative AI give to `gen_ai.input.messages` and
 * `gen_ai.output.messages`. Files are named by their type, and left out.
 */
import type { Content, Part } from '@google/genai';

export function captured(contents: readonly Content[]): string {
  return JSON.stringify(
    contents.map(({ role, parts = [] }) => ({
      role: role === 'model' ? 'assistant' : 'user',
      parts: parts.map(capturedPart),
    })),
  );
}

function capturedPart({ text, thought, functionCall, functionResponse, inlineData, fileData }: Part): object {
  if (functionCall !== undefined) {
    const { id, name, args } = functionCall;
    return { type: 'tool_call', id, name, arguments: args };
  }
  if (functionResponse !== undefined) {
    const { id, response } = functionResponse;
    return { type: 'tool_call_response', id, response };
  }
  if (text !== undefined) return { type: thought === true ? 'reasoning' : 'text', content: text };
  return { type: 'file', mime_type: inlineData?.mimeType ?? fileData?.mimeType };
}
