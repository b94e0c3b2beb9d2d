/**
 * A language model without network, of the specification version that the AI SDK in use expects. Its reply depends on how
 * many replies the prompt has already, so it is the same whenever the same turn is run.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LanguageModel } from 'ai';
import { major, specificationVersion } from './version.ts';

export interface Reply {
  text?: string;
  toolCalls?: { id: string; name: string; input: object }[];
  /** Instead of a reply. */
  error?: Error;
}

export interface ScriptedModelOptions {
  /** Returns the reply to a prompt with this many earlier replies. */
  reply: (earlier: number, prompt: unknown) => Reply;
  /** Called for each call, with the number of earlier replies. */
  onCall?: (earlier: number, kind: 'generate' | 'stream') => void;
  /** Pause after each word of a streamed text. */
  wordMs?: number;
  /** Called before each word of a streamed text. */
  onWord?: (index: number, earlier: number) => Promise<void> | void;
}

type Model = Exclude<LanguageModel, string>;

/** Each call uses as many. */
export const tokens = { input: 10, output: 5 };

export function createModel({ reply, onCall, wordMs = 0, onWord }: ScriptedModelOptions): Model {
  const read = (options: { prompt: { role: string }[] }, kind: 'generate' | 'stream'): [number, Reply] => {
    const earlier = options.prompt.filter(({ role }) => role === 'assistant').length;
    onCall?.(earlier, kind);
    const replied = reply(earlier, options.prompt);
    if (replied.error !== undefined) throw replied.error;
    return [earlier, replied];
  };
  return {
    specificationVersion,
    provider: 'scripted',
    modelId: 'scripted',
    supportedUrls: {},
    doGenerate: async (options: never) => {
      const [, { text = '', toolCalls = [] }] = read(options, 'generate');
      return {
        content: [
          ...(text === '' ? [] : [{ type: 'text', text }]),
          ...toolCalls.map(({ id, name, input }) => toToolCall(id, name, input)),
        ],
        finishReason: toFinishReason(toolCalls.length > 0),
        usage: getUsage(),
        warnings: [],
      };
    },
    doStream: async (options: { abortSignal?: AbortSignal; prompt: { role: string }[] }) => {
      const [earlier, replied] = read(options, 'stream');
      return { stream: ReadableStream.from(streamParts(replied, earlier, options.abortSignal)) };
    },
  } as unknown as Model;

  async function* streamParts({ text = '', toolCalls = [] }: Reply, earlier: number, signal?: AbortSignal) {
    yield { type: 'stream-start', warnings: [] };
    if (text !== '') {
      yield { type: 'text-start', id: 't' };
      for (const [index, word] of text.split(/(?<= )/).entries()) {
        await onWord?.(index, earlier);
        if (wordMs > 0) await sleep(wordMs, undefined, { signal });
        yield { type: 'text-delta', id: 't', delta: word };
      }
      yield { type: 'text-end', id: 't' };
    }
    for (const { id, name, input } of toolCalls) yield toToolCall(id, name, input);
    yield { type: 'finish', finishReason: toFinishReason(toolCalls.length > 0), usage: getUsage() };
  }
}

function toToolCall(toolCallId: string, toolName: string, input: object) {
  return { type: 'tool-call', toolCallId, toolName, input: JSON.stringify(input) };
}

function toFinishReason(calls: boolean): unknown {
  const unified = calls ? 'tool-calls' : 'stop';
  return major < 6 ? unified : { unified, raw: undefined };
}

function getUsage(): unknown {
  const { input, output } = tokens;
  return major < 6
    ? { inputTokens: input, outputTokens: output, totalTokens: input + output }
    : { inputTokens: { total: input }, outputTokens: { total: output } };
}
