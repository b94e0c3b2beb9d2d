/**
 * The loop of the Gemini agent: an own one over the model and its tools, every call a durable step (invariant 7).
 *
 *   conversation ──▶ step model ──▶ tool calls ──▶ steps tool:… ──▶ conversation …
 *                        │
 *                        ├─▶ answer                ──▶ completed
 *                        ├─▶ ask_user              ──▶ input-required
 *                        ├─▶ empty or malformed    ──▶ asked once more with a hint, then failed
 *                        └─▶ blocked, limit        ──▶ failed, with the reason
 *
 * The text of each reply is streamed into the answer's artifact as it comes, because nobody can know yet whether a tool
 * call follows. When one does, that text was no answer: it is told once more as progress, so that it stays in sight, and
 * the next text replaces it in the artifact. Thoughts are never shown.
 *
 * A turn that runs again takes the recorded replies without streaming them. It may have died between the record of the
 * last reply and the last chunk of its text, so it writes the answer whole from the record: the same artifact, replaced.
 */
import type { Content } from '@google/genai';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { Json, JsonObject, Part } from '#shared/domain/message.ts';
import type { Turn, TurnOutcome } from '../agent.ts';
import { Answer } from './answer.ts';
import { askUser, questionOf } from './ask-user.ts';
import { Budget } from './budget.ts';
import type { LimitError } from './budget.ts';
import { callTools } from './call-tools.ts';
import { contentsOf } from './contents.ts';
import { callModel } from './model-call.ts';
import type { Model } from './model-call.ts';
import { contentOf, textOf } from './record.ts';
import type { ModelRecord } from './record.ts';
import { configOf } from './request.ts';
import type { Tool } from './tool.ts';
import { verdictOn } from './verdict.ts';

export class Loop {
  readonly #turn: Turn;
  readonly #definition: AgentDefinition;
  readonly #model: Model;
  readonly #tools: readonly Tool[];
  readonly #answer: Answer;
  readonly #budget: Budget;
  readonly #contents: Content[];

  constructor(turn: Turn, definition: AgentDefinition, model: Model, tools: readonly Tool[]) {
    this.#turn = turn;
    this.#definition = definition;
    this.#model = model;
    this.#tools = tools;
    this.#answer = new Answer(turn);
    this.#budget = new Budget(definition.limits);
    this.#contents = contentsOf(turn);
  }

  async run(): Promise<TurnOutcome> {
    for (let hinted = false; ;) {
      const { record, live } = await this.#ask();
      const verdict = verdictOn(record);
      switch (verdict.kind) {
        case 'calls': {
          hinted = false;
          const [call] = verdict.calls;
          const question =
            verdict.calls.length === 1 && call?.name === askUser.name ? questionOf(call) : undefined;
          if (question !== undefined) return { state: 'TASK_STATE_INPUT_REQUIRED', message: question };
          const text = textOf(record).trim();
          if (live && text !== '') await this.#turn.progress(text);
          await this.#work(record, verdict.calls);
          break;
        }
        case 'answer':
          return this.#finish(record, verdict, live);
        case 'again':
          if (hinted) return { state: 'TASK_STATE_FAILED', message: verdict.message };
          hinted = true;
          this.#contents.push({ role: 'user', parts: [{ text: verdict.hint }] });
          break;
        case 'failed':
          if (verdict.withdraw && textOf(record) !== '') {
            await this.#answer.replace([{ text: '(withdrawn)' }], { withdrawn: true });
          }
          return { state: 'TASK_STATE_FAILED', message: verdict.message };
        default:
          return verdict satisfies never;
      }
    }
  }

  /** What was streamed stays. */
  async stopped(limit: LimitError): Promise<TurnOutcome> {
    await this.#answer.end();
    return { state: 'TASK_STATE_FAILED', message: limit.message };
  }

  /** One call of the model; `live`: it was made now, not taken from the record. */
  async #ask(): Promise<{ record: ModelRecord; live: boolean }> {
    this.#budget.takeModelCall();
    using deadline = this.#budget.deadline();
    const request = {
      model: this.#definition.model.name,
      contents: this.#contents,
      config: configOf(this.#definition, this.#tools, this.#model.client.vertexai),
    };
    const streamed = this.#definition.responseSchema === undefined ? this.#answer : undefined;
    let live = false;
    const record = await this.#turn.step(
      'model',
      ({ signal }) => {
        live = true;
        return callModel(this.#model, request, streamed, AbortSignal.any([signal, deadline]));
      },
      {
        input: { model: request.model, contents: request.contents.length },
        usage: (result: Json) => (result as ModelRecord).usage,
      },
    );
    await this.#answer.end();
    this.#budget.spend(record.ms);
    return { record, live };
  }

  async #work(record: ModelRecord, calls: Parameters<typeof callTools>[1]): Promise<void> {
    this.#budget.takeToolCalls(calls.length);
    using deadline = this.#budget.deadline();
    const { parts, ms } = await callTools(this.#turn, calls, this.#tools, deadline);
    this.#budget.spend(ms);
    this.#contents.push(contentOf(record), { role: 'user', parts });
  }

  async #finish(
    record: ModelRecord,
    { parts, truncated }: { parts: Part[]; truncated: boolean },
    live: boolean,
  ): Promise<TurnOutcome> {
    if (this.#definition.responseSchema !== undefined) return this.#finishWithData(textOf(record), truncated);
    const metadata: JsonObject = {
      ...record.sources,
      ...(truncated && { truncated: true, finishReason: 'MAX_TOKENS' }),
    };
    // Streamed text is complete already, where the answer is text and nothing is to be said about it.
    const streamed =
      live && Object.keys(metadata).length === 0 && parts.every(({ text }) => text !== undefined);
    if (!streamed) await this.#answer.replace(parts, metadata);
    if (!truncated) return { state: 'TASK_STATE_COMPLETED' };
    return { state: 'TASK_STATE_COMPLETED', message: 'The answer was cut at the limit of output tokens.' };
  }

  async #finishWithData(text: string, truncated: boolean): Promise<TurnOutcome> {
    let data: Json;
    try {
      data = JSON.parse(text) as Json;
    } catch {
      const why = truncated ? 'was cut at the limit of output tokens' : 'is not valid JSON';
      return { state: 'TASK_STATE_FAILED', message: `The answer of the model ${why}.` };
    }
    await this.#answer.replace([{ data, mediaType: 'application/json' }]);
    return { state: 'TASK_STATE_COMPLETED' };
  }
}
