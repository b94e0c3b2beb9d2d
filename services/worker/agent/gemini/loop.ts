/**
 * Runs the loop of the Gemini agent: the model, its tools, the model again. Every call is a durable step
 * (invariant 7).
 *
 *   message ──▶ step model ──▶ tool calls ──▶ steps tool:… ──▶ step model …
 *                   │              │
 *                   │              └─▶ one needs the user     ──▶ input-required, auth-required
 *                   ├─▶ answer                ──▶ completed
 *                   ├─▶ plan of an agent      ──▶ input-required
 *                   ├─▶ empty or malformed    ──▶ asked again with a hint, three times, then failed
 *                   └─▶ blocked, limit        ──▶ failed, with the reason
 *
 * A turn that follows an interrupted one starts with the pending calls: the message resolves them, and the
 * conversation continues as if the model had been answered at once. The text of each reply is streamed into
 * the artifact of the answer before it is known whether a tool call follows. If a call follows, the text was
 * not an answer: it is repeated as progress, so that it stays visible, and the next text replaces it in the
 * artifact. Thoughts are never shown. A turn that runs again after a crash uses the recorded replies without
 * streaming them. The crash may have happened between the record of the last reply and the last chunk of its
 * text, so the whole answer is written from the record, to the same artifact.
 */
import type { Content, GenerateContentConfig, Part as GeminiPart } from '@google/genai';
import type { JsonObject, Part } from '#shared/domain/message.ts';
import type { TurnOutcome } from '../agent.ts';
import type { TurnDownloads } from '../files/downloads.ts';
import { askModel, type ModelReply } from './ask-model.ts';
import type { AskModelParts } from './ask-model-parts.ts';
import { Budget, type LimitError } from './budget.ts';
import { requiresJson, toAcceptedModes } from './conversation/accepted-modes.ts';
import { AnswerArtifact } from './conversation/answer-artifact.ts';
import { appendContent } from './conversation/contents.ts';
import type { Conversation } from './conversation/conversation.ts';
import { finishWithData, finishWithParts, keepText } from './conversation/finish-answer.ts';
import { createDataReader, type DataReader } from './conversation/read-data.ts';
import { confirmsPlan, plansNow, toPlanOutcome } from './conversation/plan.ts';
import {
  getRemainingParts,
  recordPendingReasons,
  resolvePendingCalls,
  toAgentAnswer,
  toFunctionResponses,
  toPendingOutcome,
  withOutcome,
  type PendingCall,
  type PendingReply,
} from './conversation/pending-calls.ts';
import type { LoopTurn } from './conversation/recorded-turn.ts';
import { createTurnReader, type TurnReader } from './conversation/turn-reader.ts';
import { classifyResponse, maxRetries } from './model/classify-response.ts';
import { toGenerateConfig } from './model/request.ts';
import { getResponseText, toSentContent, type ModelResponse } from './model/response.ts';
import { askUser } from './tools/ask-user.ts';
import { callTools, type ToolCallOutcome, type ToolCallRequest } from './tools/call-tools.ts';
import { LaterResults } from './tools/later-results.ts';
import type { DeclaredTool, ModelToolCall } from './tools/tool.ts';

export interface LoopParts extends Omit<
  AskModelParts,
  'turn' | 'config' | 'answer' | 'streams' | 'plans' | 'budget'
> {
  tools: readonly DeclaredTool[];
  /** Sentences for the model about tools that it does not have. */
  notes: readonly string[];
  downloads: TurnDownloads;
}

export class Loop {
  readonly #turn: LoopTurn;
  readonly #parts: Omit<LoopParts, 'conversation'>;
  readonly #conversation: Conversation;
  readonly #config: GenerateContentConfig;
  /** The turn in which the answer started. */
  readonly #answerTurn: number;
  readonly #answer: AnswerArtifact;
  readonly #budget: Budget;
  readonly #reader: TurnReader;
  /** Undefined: the answer is text and files. */
  readonly #readData: DataReader | undefined;
  readonly #later = new LaterResults();
  #replies = 0;

  constructor(turn: LoopTurn, { conversation, ...parts }: LoopParts) {
    const { definition, model, tools, notes } = parts;
    this.#turn = turn;
    this.#parts = parts;
    this.#conversation = conversation;
    this.#config = toGenerateConfig(definition, tools, {
      vertexai: model.client.vertexai,
      json: requiresJson(turn.acceptedOutputModes),
      notes,
    });
    this.#answerTurn = conversation.pending?.turnNumber ?? turn.number;
    const mayCall = this.#config.tools?.some((tool) => 'functionDeclarations' in tool) ?? false;
    this.#answer = new AnswerArtifact(turn, { turnNumber: this.#answerTurn, mayCall });
    this.#budget = new Budget(definition.limits);
    this.#reader = createTurnReader(turn, parts);
    if (this.#config.responseMimeType === 'application/json') {
      this.#readData = createDataReader(definition.responseSchema as JsonObject | undefined);
    }
  }

  async run(): Promise<TurnOutcome> {
    const { contents } = this.#conversation;
    const interrupted = await this.#start();
    if (interrupted !== undefined) return interrupted;
    for (let unusable = 0; ;) {
      const reply = await this.#askModel();
      const { response, live, streamed } = reply;
      const classified = classifyResponse(response);
      switch (classified.kind) {
        case 'calls': {
          unusable = 0;
          const outcome = await this.#runCalls(reply, classified.calls);
          if (outcome !== undefined) return outcome;
          break;
        }
        case 'answer': {
          const { acceptedOutputModes } = this.#turn;
          const { parts, truncated } = classified;
          if (this.#plans) {
            contents.push(this.#toSentContent(response));
            this.#conversation.plan = 'proposed';
            return toPlanOutcome(toAcceptedModes(parts, acceptedOutputModes));
          }
          if (this.#readData === undefined) {
            contents.push(this.#toSentContent(response));
            return finishWithParts(this.#answer, {
              response,
              parts,
              truncated,
              streamed,
              acceptedOutputModes,
            });
          }
          const read = await this.#readData(getResponseText(response));
          if ('data' in read) {
            contents.push(this.#toSentContent(response));
            return finishWithData(this.#answer, read.data, acceptedOutputModes);
          }
          unusable += 1;
          if (truncated || unusable > maxRetries) {
            return keepText(this.#answer, { response, truncated, problem: read.problem });
          }
          contents.push(this.#toSentContent(response));
          contents.push({ role: 'user', parts: [{ text: `${read.problem} Give only the corrected JSON.` }] });
          break;
        }
        case 'retry':
          unusable += 1;
          if (unusable > maxRetries) return { state: 'TASK_STATE_FAILED', message: classified.message };
          contents.push({ role: 'user', parts: [{ text: classified.hint }] });
          break;
        case 'failed':
          // An earlier run of this turn may have streamed its text, so recorded text is withdrawn too.
          if (classified.withdraw && (streamed || !live) && getResponseText(response) !== '') {
            await this.#answer.replace([{ text: '(withdrawn)' }], { withdrawn: true });
          }
          return { state: 'TASK_STATE_FAILED', message: classified.message };
        default:
          return classified satisfies never;
      }
    }
  }

  /** Ends a turn that reached a limit. The text streamed so far is kept. */
  async stop(limit: LimitError): Promise<TurnOutcome> {
    await this.#answer.end(true);
    return { state: 'TASK_STATE_FAILED', message: limit.message };
  }

  /** Adds the turn's message to the conversation. If calls are pending, the message resolves them first. */
  async #start(): Promise<TurnOutcome | undefined> {
    const { message } = this.#turn;
    const { contents, pending } = this.#conversation;
    if (confirmsPlan(this.#conversation, message)) this.#conversation.plan = 'confirmed';
    if (pending === undefined) {
      const parts = await this.#reader.toGeminiParts(message.parts);
      const content = parts.length > 0 ? parts : [{ text: '(an empty message)' }];
      appendContent(contents, 'user', [...(await this.#reader.toReferenceParts()), ...content]);
      return undefined;
    }
    const { resolutions, remark } = resolvePendingCalls(pending, message);
    const runnable = pending.calls.filter((_, index) => resolutions[index]?.run === true);
    const outcomes = await this.#callTools(
      runnable.map(({ call, reason, asked }) => ({
        call,
        approved: reason === 'confirm' || reason === 'agent',
        answer: asked && toAgentAnswer(asked, message),
      })),
    );
    const calls = pending.calls.map((pendingCall, index): PendingCall => {
      const response = pendingCall.response ?? resolutions[index]?.response;
      if (response !== undefined) return { ...pendingCall, response };
      return withOutcome(pendingCall, outcomes[runnable.indexOf(pendingCall)]);
    });
    const remaining = await this.#reader.toGeminiParts(getRemainingParts(message, pending));
    return this.#answerCalls(
      { ...pending, calls },
      [...(await this.#reader.toReferenceParts()), ...remaining],
      remark,
    );
  }

  async #runCalls(
    { response, live }: ModelReply,
    calls: readonly ModelToolCall[],
  ): Promise<TurnOutcome | undefined> {
    this.#budget.takeToolCalls(calls.length);
    const text = getResponseText(response).trim();
    const onlyQuestions = calls.every(({ name }) => name === askUser.name);
    if (live && text !== '' && !onlyQuestions) await this.#turn.progress(text);
    const outcomes = await this.#callTools(calls.map((call) => ({ call, approved: false })));
    this.#conversation.contents.push(this.#toSentContent(response));
    const all = calls.map((call, index) =>
      withOutcome({ call, id: `${this.#turn.number}.${this.#replies}.${index + 1}` }, outcomes[index]),
    );
    return this.#answerCalls({ calls: all, turnNumber: this.#answerTurn }, [], text);
  }

  async #callTools(calls: readonly ToolCallRequest[]): Promise<ToolCallOutcome[]> {
    const { definition, tools, partnerWaits } = this.#parts;
    using deadline = this.#budget.deadline();
    // Calls that the user approved belong to a reply of an earlier turn, so they have no round in this one.
    const round =
      this.#replies === 0 ? '' : ` (round ${this.#replies}, at most ${definition.limits.modelCalls})`;
    const bounds = { deadline, round, partnerWaits, later: this.#later };
    const outcomes = await callTools(this.#turn, calls, tools, bounds);
    this.#budget.spend(Math.max(0, ...outcomes.map((outcome) => ('ms' in outcome ? outcome.ms : 0))));
    return outcomes;
  }

  /**
   * Answers the calls of a reply, or leaves them to the next turn while one is pending. Gemini requires
   * exactly one response for each call.
   *
   * @param remaining the words and files of the user that resolved no call
   * @param text see toPendingOutcome
   */
  async #answerCalls(
    reply: PendingReply,
    remaining: GeminiPart[],
    text: string,
  ): Promise<TurnOutcome | undefined> {
    const said = [...(reply.said ?? []), ...remaining];
    if (reply.calls.some(({ response }) => response === undefined)) {
      const calls = await recordPendingReasons(this.#turn, reply.calls);
      this.#conversation.pending = { ...reply, calls, said };
      return toPendingOutcome(this.#conversation.pending, text);
    }
    delete this.#conversation.pending;
    for (const call of reply.calls) await this.#publishFiles(call);
    const responses = toFunctionResponses(reply.calls, this.#parts.definition.model.name);
    this.#conversation.contents.push({ role: 'user', parts: [...responses, ...said] });
    return undefined;
  }

  /** Publishes the files that a call returned as one artifact. */
  async #publishFiles({ id, call: { name }, files }: PendingCall): Promise<void> {
    if (files === undefined) return;
    const parts = files.map(({ data, ...file }): Part => ({ raw: data, ...file }));
    const accepted = toAcceptedModes(parts, this.#turn.acceptedOutputModes);
    await this.#turn.artifact({ artifactId: `${name}-${id}`, name, parts: accepted });
  }

  async #askModel(): Promise<ModelReply> {
    this.#budget.takeModelCall();
    this.#replies += 1;
    return askModel({
      ...this.#parts,
      turn: this.#turn,
      conversation: this.#conversation,
      config: this.#config,
      answer: this.#answer,
      streams: this.#readData === undefined && !this.#plans,
      plans: this.#plans,
      budget: this.#budget,
    });
  }

  /** Whether the next reply is a plan for the user. */
  get #plans(): boolean {
    return plansNow(this.#parts.definition, this.#conversation);
  }

  #toSentContent(response: ModelResponse): Content {
    return toSentContent(response, this.#parts.definition.model.name);
  }
}
