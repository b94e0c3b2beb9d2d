/** A chat model of LangChain without network. Its reply depends on how many replies the messages have already. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager';
import { BaseChatModel } from '@langchain/core/language_models/chat_models';
import { AIMessage, AIMessageChunk, type BaseMessage } from '@langchain/core/messages';
import { ChatGenerationChunk, type ChatResult } from '@langchain/core/outputs';

export interface Reply {
  text?: string;
  calls?: { id: string; name: string; args: Record<string, unknown> }[];
}

export interface ScriptOptions {
  /** Returns the reply to messages with this many earlier replies. */
  reply: (earlier: number, messages: readonly BaseMessage[]) => Reply;
  onCall?: (earlier: number) => void;
  /** Pause after each word. */
  wordMs?: number;
  /** False: the model does not stream. */
  streams?: boolean;
}

const usage = { input_tokens: 10, output_tokens: 5, total_tokens: 15 };

export class ScriptedModel extends BaseChatModel {
  readonly #options: ScriptOptions;

  constructor(options: ScriptOptions) {
    super({});
    this.#options = options;
    if (options.streams === false) this.disableStreaming = true;
  }

  override _llmType(): string {
    return 'scripted';
  }

  override getLsParams() {
    return { ls_provider: 'scripted', ls_model_name: 'scripted', ls_model_type: 'chat' as const };
  }

  override bindTools(): this {
    return this;
  }

  override async _generate(messages: BaseMessage[]): Promise<ChatResult> {
    const { text, calls } = this.#read(messages);
    const message = Object.assign(new AIMessage({ content: text, tool_calls: calls }), {
      usage_metadata: usage,
    });
    return { generations: [{ text, message }] };
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    _options: unknown,
    manager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const { text, calls } = this.#read(messages);
    for (const word of text.split(/(?<= )/)) {
      if (word === '') continue;
      await sleep(this.#options.wordMs ?? 0);
      yield* this.#emit(word, {}, manager);
    }
    const chunks = calls.map(({ id, name, args }, index) => ({
      id,
      name,
      args: JSON.stringify(args),
      index,
    }));
    yield* this.#emit('', { tool_call_chunks: chunks, usage_metadata: usage }, manager);
  }

  async *#emit(
    text: string,
    fields: object,
    manager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const chunk = new ChatGenerationChunk({
      text,
      message: new AIMessageChunk({ content: text, ...fields }),
    });
    yield chunk;
    await manager?.handleLLMNewToken(text, undefined, undefined, undefined, undefined, { chunk });
  }

  #read(messages: readonly BaseMessage[]) {
    const earlier = messages.filter((message) => message.getType() === 'ai').length;
    this.#options.onCall?.(earlier);
    const { text = '', calls = [] } = this.#options.reply(earlier, messages);
    return { text, calls: calls.map((call) => ({ ...call, type: 'tool_call' as const })) };
  }
}
