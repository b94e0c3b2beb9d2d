/**
 * Streams what the models of a graph say, and counts what they use. LangChain calls this for each model call,
 * at any depth of the graph:
 *
 *   start ─▶ token ─▶ token ─▶ … ─▶ end ─▶ its task ends: text and usage are recorded with the writes of the task
 *
 * One call streams at a time; the text of calls next to it follows when that one has ended.
 */
import { BaseCallbackHandler } from '@langchain/core/callbacks/base';
import type { Serialized } from '@langchain/core/load/serializable';
import type { BaseMessage } from '@langchain/core/messages';
import type { LLMResult } from '@langchain/core/outputs';
import type { ModelUsage } from '#shared/domain/usage.ts';
import { readUsage } from './usage.ts';

/** Model calls with one of these tags are not shown to clients. */
const silentTags = ['nostream', 'langsmith:nostream'];
const separator = '\n\n';

interface ModelRun {
  /** The path of the task in the graph: `node:task|node:task`. */
  path: string;
  model: string;
  silent: boolean;
  text: string;
  /** How much of the text is written. */
  written: number;
  ended: boolean;
  /** Its text and usage are recorded. */
  taken: boolean;
  usage: ModelUsage | undefined;
}

export interface AnswerParts {
  /** Adds text to the artifact. */
  write: (text: string) => void;
  /** Called before each model call. An error ends the call. */
  beforeCall: () => Promise<void>;
  /** @param tokens as LangChain counts them */
  toUsage: (model: string, tokens: ReturnType<typeof readUsage>) => ModelUsage | undefined;
}

export class AnswerHandler extends BaseCallbackHandler {
  override readonly name = 'LonghaulAnswer';
  /** Makes models stream even if they are called without it. */
  readonly lc_prefer_streaming = true;
  readonly #parts: AnswerParts;
  readonly #runs = new Map<string, ModelRun>();
  #text = '';

  constructor(parts: AnswerParts) {
    // An error of `beforeCall` ends the model call, and the writes of a task come after its texts.
    super({ raiseError: true, _awaitHandler: true });
    this.#parts = parts;
  }

  /** All text so far. */
  get text(): string {
    return this.#text;
  }

  /** Adds a text that follows what was said before. */
  say(text: string): void {
    if (text === '') return;
    this.#write(this.#text === '' ? text : separator + text);
  }

  /** Returns what the model calls of a task have said and used, once. */
  take(task: string): { texts: string[]; usages: ModelUsage[] } {
    const runs = [...this.#runs.values()].filter(
      ({ path, ended, taken }) =>
        ended && !taken && path.split('|').some((part) => part.endsWith(`:${task}`)),
    );
    for (const run of runs) run.taken = true;
    this.#forget();
    return {
      texts: runs.flatMap(({ silent, text }) => (silent || text === '' ? [] : [text])),
      usages: runs.flatMap(({ usage }) => (usage === undefined ? [] : [usage])),
    };
  }

  override async handleChatModelStart(
    _model: Serialized,
    _messages: BaseMessage[][],
    runId: string,
    _parent?: string,
    _params?: Record<string, unknown>,
    tags: string[] = [],
    metadata: Record<string, unknown> = {},
  ): Promise<void> {
    await this.#parts.beforeCall();
    const { langgraph_checkpoint_ns: path, checkpoint_ns: fallback, ls_model_name: model } = metadata;
    this.#runs.set(runId, {
      path: [path, fallback].find((value) => typeof value === 'string') ?? '',
      model: typeof model === 'string' ? model : 'unknown',
      silent: tags.some((tag) => silentTags.includes(tag)),
      text: '',
      written: 0,
      ended: false,
      taken: false,
      usage: undefined,
    });
  }

  override handleLLMNewToken(token: string, _index: unknown, runId: string): void {
    const run = this.#runs.get(runId);
    if (run === undefined) return;
    run.text += token;
    this.#advance();
  }

  override handleLLMEnd(output: LLMResult, runId: string): void {
    const run = this.#runs.get(runId);
    const generation = output.generations[0]?.[0];
    if (run === undefined || generation === undefined) return;
    // A model that does not stream.
    if (run.text === '') run.text = generation.text;
    const { message } = generation as { message?: { usage_metadata?: unknown } };
    run.usage = this.#parts.toUsage(run.model, readUsage(message?.usage_metadata));
    run.ended = true;
    this.#advance();
  }

  override handleLLMError(_error: unknown, runId: string): void {
    this.#runs.delete(runId);
    this.#advance();
  }

  /** Writes the text of the call that streams, and of the next ones once it has ended. */
  #advance(): void {
    const runs = [...this.#runs.values()].filter(({ silent, text }) => !silent && text !== '');
    const started = runs.filter(({ written }) => written > 0);
    for (const run of [...started, ...runs.filter((other) => !started.includes(other))]) {
      const rest = run.text.slice(run.written);
      if (rest !== '' && run.written === 0) this.say(rest);
      else if (rest !== '') this.#write(rest);
      run.written = run.text.length;
      if (!run.ended) break;
    }
    this.#forget();
  }

  #forget(): void {
    for (const [id, { taken, silent, written, text }] of this.#runs) {
      if (taken && (silent || written === text.length)) this.#runs.delete(id);
    }
  }

  #write(text: string): void {
    this.#text += text;
    this.#parts.write(text);
  }
}
