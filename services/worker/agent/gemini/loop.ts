/**
 * The loop of the Gemini agent: an own one over the model and its tools, every call a durable step (invariant 7).
 *
 *   message ──▶ step model ──▶ tool calls ──▶ steps tool:… ──▶ step model …
 *                   │              │
 *                   │              └─▶ only the user can settle one ──▶ input-required, auth-required
 *                   ├─▶ answer                ──▶ completed
 *                   ├─▶ empty or malformed    ──▶ asked once more with a hint, then failed
 *                   └─▶ blocked, limit        ──▶ failed, with the reason
 *
 * A turn that follows one which waited begins with the calls that were left open: the message settles them, and the
 * conversation goes on as if the model had been answered at once.
 *
 * The text of each reply is streamed into the answer's artifact as it comes, because nobody can know yet whether a tool
 * call follows. When one does, that text was no answer: it is told once more as progress, so that it stays in sight, and
 * the next text replaces it in the artifact. Thoughts are never shown.
 *
 * A turn that runs again takes the recorded replies without streaming them. It may have died between the record of the
 * last reply and the last chunk of its text, so it writes the answer whole from the record: the same artifact, replaced.
 */
import type { Content, GenerateContentConfig, Part as GeminiPart } from '@google/genai';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { Json, JsonObject, Part } from '#shared/domain/message.ts';
import { addUsage, type ModelUsage, type Usage } from '#shared/domain/usage.ts';
import type { TurnOutcome } from '../agent.ts';
import type { FileFetcher } from '../files/fetch-file.ts';
import { asksForJson, inAcceptedModes } from './conversation/accepted-modes.ts';
import { Answer } from './conversation/answer.ts';
import { askUser } from './tools/ask-user.ts';
import { Budget } from './budget.ts';
import type { LimitError } from './budget.ts';
import type { Call } from './tools/tool.ts';
import { callTools, type Callable, type ToolAnswer } from './tools/call-tools.ts';
import { add } from './conversation/contents.ts';
import { toUsage } from './model/cost.ts';
import { toGeminiParts } from './conversation/message-parts.ts';
import { callModel, type Model } from './model/call.ts';
import { inModelSpan } from './model/span.ts';
import type { Quota } from './model/quota.ts';
import { contentOf, textOf } from './model/response.ts';
import type { ModelResponse } from './model/response.ts';
import type { LoopTurn } from './conversation/recorded-turn.ts';
import { toReferenceParts } from './conversation/references.ts';
import { configOf } from './model/request.ts';
import type { Tool } from './tools/tool.ts';
import { classifyResponse } from './model/classify-response.ts';
import {
  answered,
  outcomeOf,
  recordOpen,
  responsesTo,
  restOf,
  settle,
  type Waiting,
  type WaitingCall,
} from './conversation/waiting.ts';

/** Goes from turn to turn of a task. */
export interface Conversation {
  contents: Content[];
  waiting?: Waiting;
  /** By the task so far. */
  spent: Usage;
}

export interface LoopParts {
  definition: AgentDefinition;
  model: Model;
  tools: readonly Tool[];
  files: FileFetcher;
  conversation: Conversation;
  /** What all tasks of the owner have spent today. */
  spentToday: () => Promise<{ tokens: number; cost: number }>;
  quota: Quota;
}

export class Loop {
  readonly #turn: LoopTurn;
  readonly #definition: AgentDefinition;
  readonly #model: Model;
  readonly #tools: readonly Tool[];
  readonly #files: FileFetcher;
  readonly #conversation: Conversation;
  readonly #spentToday: LoopParts['spentToday'];
  readonly #quota: Quota;
  readonly #config: GenerateContentConfig;
  readonly #from: number;
  readonly #answer: Answer;
  readonly #budget: Budget;
  #replies = 0;

  constructor(turn: LoopTurn, parts: LoopParts) {
    const { definition, model, tools, files, conversation, spentToday, quota } = parts;
    this.#turn = turn;
    this.#definition = definition;
    this.#model = model;
    this.#tools = tools;
    this.#files = files;
    this.#conversation = conversation;
    this.#spentToday = spentToday;
    this.#quota = quota;
    this.#config = configOf(definition, tools, {
      vertexai: model.client.vertexai,
      json: asksForJson(turn.acceptedOutputModes),
    });
    this.#from = conversation.waiting?.from ?? turn.number;
    const mayCall = this.#config.tools?.some((tool) => 'functionDeclarations' in tool) ?? false;
    this.#answer = new Answer(turn, { from: this.#from, mayCall });
    this.#budget = new Budget(definition.limits);
  }

  async run(): Promise<TurnOutcome> {
    const { contents } = this.#conversation;
    const stillOpen = await this.#begin();
    if (stillOpen !== undefined) return stillOpen;
    for (let hinted = false; ;) {
      const { record, live, streamed } = await this.#ask();
      const verdict = classifyResponse(record);
      switch (verdict.kind) {
        case 'calls': {
          hinted = false;
          const open = await this.#work(record, verdict.calls, live);
          if (open !== undefined) return open;
          break;
        }
        case 'answer':
          contents.push(contentOf(record));
          return this.#finish(record, verdict, streamed);
        case 'again':
          if (hinted) return { state: 'TASK_STATE_FAILED', message: verdict.message };
          hinted = true;
          contents.push({ role: 'user', parts: [{ text: verdict.hint }] });
          break;
        case 'failed':
          // A turn that runs again cannot know what was streamed before.
          if (verdict.withdraw && (streamed || !live) && textOf(record) !== '') {
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
    await this.#answer.end(true);
    return { state: 'TASK_STATE_FAILED', message: limit.message };
  }

  /** The message of the turn: it begins a conversation, or settles what an earlier turn left open. */
  async #begin(): Promise<TurnOutcome | undefined> {
    const { message } = this.#turn;
    const { contents, waiting } = this.#conversation;
    if (waiting === undefined) {
      const parts = await this.#partsOf(message.parts);
      const said = parts.length > 0 ? parts : [{ text: '(an empty message)' }];
      add(contents, 'user', [...this.#references(), ...said]);
      return undefined;
    }
    const settled = waiting.calls.map((one) =>
      one.response === undefined ? settle(one, message) : { response: one.response },
    );
    const runnable = waiting.calls.filter((_, index) => settled[index]?.run === true);
    const answers = await this.#call(
      runnable.map(({ call, why }) => ({ call, approved: why === 'confirm' })),
    );
    const calls = waiting.calls.map((one, index): WaitingCall => {
      const response = settled[index]?.response;
      if (response !== undefined) return { ...one, response };
      return answered(one, answers[runnable.indexOf(one)]);
    });
    const rest = await this.#partsOf(restOf(message, waiting));
    return this.#close({ ...waiting, calls }, [...this.#references(), ...rest], '');
  }

  #references(): GeminiPart[] {
    const { message, references } = this.#turn;
    const meant = references.filter(({ taskId }) => message.referenceTaskIds?.includes(taskId));
    return meant.flatMap((task) => toReferenceParts(task, this.#definition.history.maxTokens));
  }

  #partsOf(parts: readonly Part[]): Promise<GeminiPart[]> {
    return toGeminiParts(this.#turn, parts, {
      fetcher: this.#files,
      vertexai: this.#model.client.vertexai,
    });
  }

  async #work(
    record: ModelResponse,
    calls: readonly Call[],
    live: boolean,
  ): Promise<TurnOutcome | undefined> {
    this.#budget.takeToolCalls(calls.length);
    const text = textOf(record).trim();
    const asks = calls.every(({ name }) => name === askUser.name);
    if (live && text !== '' && !asks) await this.#turn.progress(text);
    const answers = await this.#call(calls.map((call) => ({ call, approved: false })));
    this.#conversation.contents.push(contentOf(record));
    const all = calls.map((call, index) =>
      answered({ call, id: `${this.#turn.number}.${this.#replies}.${index + 1}` }, answers[index]),
    );
    return this.#close({ calls: all, from: this.#from }, [], text);
  }

  async #call(calls: readonly Callable[]): Promise<ToolAnswer[]> {
    using deadline = this.#budget.deadline();
    // What the user has approved was asked for by a reply of an earlier turn.
    const round =
      this.#replies === 0 ? '' : ` (round ${this.#replies} of ${this.#definition.limits.modelCalls} at most)`;
    const answers = await callTools(this.#turn, calls, this.#tools, { deadline, round });
    this.#budget.spend(Math.max(0, ...answers.map((answer) => ('ms' in answer ? answer.ms : 0))));
    return answers;
  }

  /** Answers a reply of the model, or leaves it open for the next turn. Gemini wants one answer for each of its calls. */
  async #close(waiting: Waiting, rest: GeminiPart[], before: string): Promise<TurnOutcome | undefined> {
    if (waiting.calls.some(({ response }) => response === undefined)) {
      const calls = await recordOpen(this.#turn, waiting.calls);
      this.#conversation.waiting = { ...waiting, calls };
      return outcomeOf(this.#conversation.waiting, before);
    }
    delete this.#conversation.waiting;
    for (const call of waiting.calls) await this.#handOut(call);
    const responses = responsesTo(waiting.calls, this.#definition.model.name);
    this.#conversation.contents.push({ role: 'user', parts: [...responses, ...rest] });
    return undefined;
  }

  /** Files of a tool are the user's too: an artifact for each call that returned some. */
  async #handOut({ id, call: { name }, files }: WaitingCall): Promise<void> {
    if (files === undefined) return;
    const parts = files.map(({ data, ...about }): Part => ({ raw: data, ...about }));
    await this.#turn.artifact({ artifactId: `${name}-${id}`, name, parts: this.#accepted(parts) });
  }

  #accepted(parts: readonly Part[]): Part[] {
    return inAcceptedModes(parts, this.#turn.acceptedOutputModes);
  }

  /** One call of the model; `live`: made now, not taken from the record; `streamed`: its text is in the artifact. */
  async #ask(): Promise<{ record: ModelResponse; live: boolean; streamed: boolean }> {
    this.#budget.takeModelCall(this.#conversation.spent);
    this.#replies += 1;
    using deadline = this.#budget.deadline();
    const { contents } = this.#conversation;
    const request = { model: this.#definition.model.name, contents, config: this.#config };
    const answer = this.#answersWithData ? undefined : this.#answer;
    let live = false;
    const record = await this.#turn.step(
      'model',
      async ({ signal }) => {
        live = true;
        if (this.#budget.limitsOwner) this.#budget.checkOwner(await this.#spentToday());
        const parts = { quota: this.#quota, answer, signal: AbortSignal.any([signal, deadline]) };
        return inModelSpan(this.#model, request, () => callModel(this.#model, request, parts));
      },
      {
        input: { model: request.model, contents: contents.length },
        usage: (result: Json) => this.#toUsage(result as ModelResponse),
      },
    );
    const streamed = await this.#answer.end();
    this.#budget.spend(record.ms);
    this.#conversation.spent = addUsage(this.#conversation.spent, this.#toUsage(record));
    return { record, live, streamed };
  }

  #toUsage({ usage }: ModelResponse): ModelUsage {
    return toUsage(usage, this.#definition.model.name, this.#definition.prices);
  }

  get #answersWithData(): boolean {
    return this.#config.responseMimeType === 'application/json';
  }

  async #finish(
    record: ModelResponse,
    { parts, truncated }: { parts: Part[]; truncated: boolean },
    streamed: boolean,
  ): Promise<TurnOutcome> {
    if (this.#answersWithData) return this.#finishWithData(textOf(record), truncated);
    const metadata: JsonObject = {
      ...record.sources,
      ...(truncated && { truncated: true, finishReason: 'MAX_TOKENS' }),
    };
    // Streamed text is complete already, where the answer is text and nothing is to be said about it.
    const plain = Object.keys(metadata).length === 0 && parts.every(({ text }) => text !== undefined);
    if (!streamed || !plain) await this.#answer.replace(this.#accepted(parts), metadata);
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
    await this.#answer.replace(this.#accepted([{ data, mediaType: 'application/json' }]));
    return { state: 'TASK_STATE_COMPLETED' };
  }
}
