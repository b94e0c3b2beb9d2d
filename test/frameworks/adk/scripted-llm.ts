/** A model of ADK without network. Its reply depends on how many replies the request has already. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BaseLlm, type BaseLlmConnection, type LlmRequest, type LlmResponse } from '@google/adk';

export interface Reply {
  text?: string;
  calls?: { name: string; args: Record<string, unknown> }[];
}

export interface ScriptOptions {
  /** Returns the reply to a request with this many earlier replies. */
  reply: (earlier: number, request: LlmRequest) => Reply;
  onCall?: (earlier: number) => unknown;
  /** Pause after each word of a streamed text. */
  wordMs?: number;
}

export class ScriptedLlm extends BaseLlm {
  readonly #options: ScriptOptions;

  constructor(options: ScriptOptions) {
    super({ model: 'scripted' });
    this.#options = options;
  }

  override async *generateContentAsync(
    request: LlmRequest,
    stream = false,
  ): AsyncGenerator<LlmResponse, void> {
    const { reply, onCall, wordMs = 0 } = this.#options;
    const earlier = request.contents.filter(({ role }) => role === 'model').length;
    await onCall?.(earlier);
    const { text = '', calls = [] } = reply(earlier, request);
    if (stream) {
      for (const word of text.split(/(?<= )/)) {
        await sleep(wordMs);
        yield { content: { role: 'model', parts: [{ text: word }] }, partial: true };
      }
    }
    const parts = [...(text === '' ? [] : [{ text }]), ...calls.map((functionCall) => ({ functionCall }))];
    yield {
      content: { role: 'model', parts },
      usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 },
    };
  }

  override async connect(): Promise<BaseLlmConnection> {
    throw new Error('not live');
  }
}
