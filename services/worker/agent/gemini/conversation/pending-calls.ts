/**
 * Handles a reply of the model with calls that only the user can resolve: decides what the task asks its user
 * for, and how the user's next message resolves each pending call.
 *
 *   ask       ask_user                                         any message is its answer
 *   confirm   a tool that the definition marks `confirm`       approved, refused, or asked for again
 *   retry     a call that failed for lack of credentials       any message: the call is retried
 *   agent     another agent or an MCP tool waits for an answer any message: it goes there
 */
import type { Part as GeminiPart } from '@google/genai';
import {
  approvalExtension,
  askForApproval,
  createApprovalPart,
  createApprovalRequest,
  findDecision,
  isApprovalPart,
  readDecisions,
  type ApprovalRequest,
} from '#shared/agent/approval.ts';
import { textOf, type JsonObject, type Message, type Part } from '#shared/domain/message.ts';
import type { TurnOutcome } from '../../agent.ts';
import { isBeforeGemini3 } from '../model/request.ts';
import { getQuestion } from '../tools/ask-user.ts';
import type { AgentAnswer, AgentQuestion } from '../tools/call-agent.ts';
import type { PendingReason, ToolCallOutcome } from '../tools/call-tools.ts';
import type { ModelToolCall, ToolFile } from '../tools/tool.ts';
import { toSupportedType } from './media-types.ts';
import { NotRecordedError, type LoopTurn } from './recorded-turn.ts';

/** One call of a reply. It is answered if it has a response, and pending otherwise. */
export interface PendingCall {
  call: ModelToolCall;
  response?: JsonObject;
  /** Files that belong to the response. */
  files?: ToolFile[];
  reason?: PendingReason;
  /** The question of another agent, if that is the reason. */
  asked?: AgentQuestion;
  /** Unique among all calls of the task. */
  id: string;
}

export interface PendingReply {
  calls: PendingCall[];
  /** The turn in which the answer started; it continues after this reply. */
  turnNumber: number;
  /** The words and files of the user that resolved no call. They go to the model with the responses. */
  said?: GeminiPart[];
}

function getPending({ calls }: PendingReply): PendingCall[] {
  return calls.filter(({ response }) => response === undefined);
}

/**
 * Returns the outcome that asks the user to resolve the pending calls.
 *
 * @param text comes first: the model's own text next to its calls, or a remark
 */
export function toPendingOutcome(reply: PendingReply, text: string): TurnOutcome {
  const pending = getPending(reply);
  const questions = pending.flatMap(({ call, reason, asked }) =>
    reason === 'ask'
      ? [getQuestion(call) ?? '']
      : asked === undefined
        ? []
        : [describeQuestion(call.name, asked)],
  );
  const attached = pending.flatMap(
    ({ asked }) => asked?.parts.filter(({ text }) => text === undefined) ?? [],
  );
  const requests = pending.flatMap((call) => (call.reason === 'confirm' ? [toApprovalRequest(call)] : []));
  const introduction = text === '' ? [] : [text];
  if (requests.length === 0) {
    const message = [...introduction, ...questions].join('\n\n');
    return {
      state: 'TASK_STATE_INPUT_REQUIRED',
      message: attached.length === 0 ? message : [{ text: message }, ...attached],
    };
  }
  return {
    state: 'TASK_STATE_AUTH_REQUIRED',
    message: [
      { text: [...introduction, ...questions, askForApproval(requests, pending.length)].join('\n\n') },
      createApprovalPart(requests),
      ...attached,
    ],
    extensions: [approvalExtension],
  };
}

/** @param tool the name under which the model calls the agent */
function describeQuestion(tool: string, { parts, tool: asking }: AgentQuestion): string {
  const question = textOf(parts);
  if (asking !== undefined) return `The tool "${tool}" asks: ${question}`;
  const agent = tool.replace(/^call_/, '');
  return question === ''
    ? `The agent "${agent}" waits for your answer.`
    : `The agent "${agent}" asks: ${question}`;
}

/** Returns what goes to another agent or a tool that waits for an answer. */
export function toAgentAnswer({ taskId, contextId, tool }: AgentQuestion, message: Message): AgentAnswer {
  return {
    taskId,
    contextId,
    ...(tool && { tool }),
    parts: message.parts.filter((part) => !isApprovalPart(part)),
  };
}

function toApprovalRequest({ id, call }: PendingCall): ApprovalRequest {
  return createApprovalRequest(id, call.name, (call.args ?? {}) as JsonObject);
}

export interface Resolution {
  /** The response to the call. The call is not made. */
  response?: JsonObject;
  /** The call may be made now. */
  run?: true;
}

/** Shown to the user if a message decides none of the calls that need approval. */
const undecided = 'Your message was neither an approval nor a refusal.';

/**
 * Returns how a message resolves each call of a reply, in their order. Undefined: the call has a response, or the
 * message does not decide it.
 */
export function resolvePendingCalls(
  reply: PendingReply,
  message: Message,
): { resolutions: (Resolution | undefined)[]; remark: string } {
  const alone = getPending(reply).length === 1;
  const resolutions = reply.calls.map((call) =>
    call.response === undefined ? resolvePendingCall(call, message, alone) : undefined,
  );
  const asked = reply.calls.flatMap(({ response, reason }, index) =>
    response === undefined && reason === 'confirm' ? [resolutions[index]] : [],
  );
  const decided = asked.length === 0 || asked.some((resolution) => resolution !== undefined);
  return { resolutions, remark: decided ? '' : undecided };
}

function resolvePendingCall(pending: PendingCall, message: Message, alone: boolean): Resolution | undefined {
  switch (pending.reason) {
    case 'ask':
      return { response: { answer: textOf(message.parts) || '(see the attached parts)' } };
    case 'confirm': {
      const decision = findDecision(message, toApprovalRequest(pending), alone);
      if (decision === undefined) return undefined;
      if (decision.approve) return { run: true };
      const reason = decision.reason === undefined ? '' : ` Reason: ${decision.reason}`;
      return { response: { error: `The user refused this call.${reason}` } };
    }
    case 'retry':
    case 'agent':
    case undefined:
      return { run: true };
    default:
      return pending.reason satisfies never;
  }
}

/**
 * Returns the parts that go to the model next to the responses: files, data, and text that neither answers a question
 * nor decides a call.
 */
export function getRemainingParts(message: Message, reply: PendingReply): Part[] {
  const pending = getPending(reply);
  const answersQuestion = pending.some(({ reason }) => reason === 'ask' || reason === 'agent');
  const decides = readDecisions(message) === undefined && isDecidedByWord(pending, message);
  const used = answersQuestion || decides;
  return message.parts.filter((part) => !isApprovalPart(part) && !(used && part.text !== undefined));
}

function isDecidedByWord([first, ...others]: readonly PendingCall[], message: Message): boolean {
  if (first?.reason !== 'confirm' || others.length > 0) return false;
  return findDecision(message, toApprovalRequest(first), true) !== undefined;
}

export function withOutcome(pending: PendingCall, outcome: ToolCallOutcome | undefined): PendingCall {
  if (outcome === undefined) return pending;
  const { asked: _, ...rest } = pending;
  if ('pending' in outcome) {
    return { ...rest, reason: outcome.pending, ...(outcome.asked && { asked: outcome.asked }) };
  }
  const { response, files } = outcome;
  return { ...rest, response, ...(files !== undefined && { files }) };
}

/** Records why each call is pending, because the next turn cannot derive it from the other steps. */
export async function recordPendingReasons(turn: LoopTurn, calls: PendingCall[]): Promise<PendingCall[]> {
  let reasons: (string | null)[];
  try {
    reasons = await turn.step('pending', async () => calls.map(({ reason }) => reason ?? null));
  } catch (error) {
    if (error instanceof NotRecordedError) return calls;
    throw error;
  }
  return calls.map((call, index) => {
    const reason = reasons[index] as PendingReason | null | undefined;
    return reason === undefined || reason === null ? call : { ...call, reason };
  });
}

/** The types that Gemini 3 accepts within a response. Earlier models accept none. */
const typesInResponse = /^(?:image\/|application\/pdf$|text\/plain$)/;

/**
 * Returns the responses to the calls of one reply. Files go inside a response, or else after all responses.
 */
export function toFunctionResponses(calls: readonly PendingCall[], model: string): GeminiPart[] {
  const following: GeminiPart[] = [];
  const responses = calls.map(({ call: { id, name }, response = {}, files = [] }): GeminiPart => {
    const parts: { inlineData: { mimeType: string; data: string } }[] = [];
    for (const { mediaType, data } of files) {
      const mimeType = toSupportedType(mediaType);
      if (mimeType === undefined) continue;
      const inside = !isBeforeGemini3(model) && typesInResponse.test(mimeType);
      (inside ? parts : following).push({ inlineData: { mimeType, data } });
    }
    const own = parts.length > 0 && { parts };
    return { functionResponse: { ...(id !== undefined && { id }), name, response, ...own } };
  });
  return [...responses, ...following];
}
