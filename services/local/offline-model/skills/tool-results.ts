/** Answers with what the functions have returned. */
import type { FunctionResponse } from '@google/genai';
import { say } from '../reply.ts';
import type { Reply } from '../reply.ts';
import type { GenerateRequest } from '../wire.ts';

const SHOWN_CHARACTERS = 1500;

export function reportToolResults({ contents }: GenerateRequest): Reply | undefined {
  const responses = (contents.at(-1)?.parts ?? []).flatMap((part) => part.functionResponse ?? []);
  if (responses.length === 0) return undefined;
  return say(`${responses.map(told).join('\n')}\n\n(reported by the offline model)`);
}

function told({ name, response = {} }: FunctionResponse): string {
  const { error, output } = response;
  if (error !== undefined) return `${name} failed: ${shown(error)}`;
  return `${name} returned: ${shown(output ?? response)}`;
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}
