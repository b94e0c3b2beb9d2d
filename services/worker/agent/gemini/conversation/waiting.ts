/**
 * A reply of the model whose calls are not all answered, because the user has to say something first: what it is that
 * the task waits for, and what the next message makes of it.
 *
 *   ask       ask_user                                        any message is its answer
 *   confirm   a tool that the definition marks so             approved, refused, or asked for again
 *   retry     a call that had no credentials                  any message: it is made again
 */
import type { Part as GeminiPart } from '@google/genai';
import {
  approvalExtension,
  approvalPart,
  approvalRequest,
  decisionsIn,
  isApprovalPart,
  type ApprovalRequest,
} from '#shared/agent/approval.ts';
import { textOf, type JsonObject, type Message, type Part } from '#shared/domain/message.ts';
import type { TurnOutcome } from '../../agent.ts';
import { getQuestion } from '../tools/ask-user.ts';
import type { Call } from '../tools/tool.ts';
import type { ToolAnswer } from '../tools/call-tools.ts';
import { takenType } from './media-types.ts';
import { NotRecordedError, type LoopTurn } from './recorded-turn.ts';
import { isBefore3 } from '../model/request.ts';
import type { ToolFile } from '../tools/tool.ts';

export type Why = 'ask' | 'confirm' | 'retry';

export interface WaitingCall {
  call: Call;
  /** Set: it is answered already. */
  response?: JsonObject;
  /** Belong to the response. */
  files?: ToolFile[];
  why?: Why;
  /** Names the call among all of its task. */
  id: string;
}

export interface Waiting {
  calls: WaitingCall[];
  /** The turn in which the answer was begun that goes on after this. */
  from: number;
}

/** What the task waits for, in words for its user; `before` is what the model said beside its calls. */
export function outcomeOf({ calls }: Waiting, before: string): TurnOutcome {
  const open = calls.filter(({ response }) => response === undefined);
  const questions = open.flatMap(({ call, why }) => (why === 'ask' ? [getQuestion(call) ?? ''] : []));
  const requests = open.flatMap((one) => (one.why === 'confirm' ? [requestOf(one)] : []));
  const said = before === '' ? [] : [before];
  if (requests.length === 0) {
    return { state: 'TASK_STATE_INPUT_REQUIRED', message: [...said, ...questions].join('\n\n') };
  }
  const asked = requests.map(({ tool, arguments: args }) => `- ${tool} ${JSON.stringify(args)}`);
  const explained = `The agent asks for your approval to call:\n${asked.join('\n')}\nNothing is called until you approve. Approve or refuse with the extension ${approvalExtension}; any other answer counts as a refusal.`;
  return {
    state: 'TASK_STATE_AUTH_REQUIRED',
    message: [{ text: [...said, ...questions, explained].join('\n\n') }, approvalPart(requests)],
    extensions: [approvalExtension],
  };
}

function requestOf({ id, call }: WaitingCall): ApprovalRequest {
  return approvalRequest(id, call.name, (call.args ?? {}) as JsonObject);
}

export interface Settled {
  /** Answered without a call being made. */
  response?: JsonObject;
  /** May be made now. */
  run?: true;
}

/** What a message makes of a call that waits; undefined: it waits on, because the decision was about something else. */
export function settle(one: WaitingCall, message: Message): Settled | undefined {
  switch (one.why) {
    case 'ask':
      return { response: { answer: textOf(message.parts) || '(see the attached parts)' } };
    case 'confirm': {
      const decisions = decisionsIn(message);
      if (decisions === undefined) {
        return { response: { error: `Not approved. The user wrote instead: ${textOf(message.parts)}` } };
      }
      const { id, argumentsHash } = requestOf(one);
      const decision = decisions.find((made) => made.id === id && made.argumentsHash === argumentsHash);
      if (decision === undefined) return undefined;
      if (decision.approve) return { run: true };
      const reason = decision.reason === undefined ? '' : ` Reason: ${decision.reason}`;
      return { response: { error: `The user refused this call.${reason}` } };
    }
    case 'retry':
    case undefined:
      return { run: true };
    default:
      return one.why satisfies never;
  }
}

/** What of a message goes to the model beside the answers: files and data, and text that answers no question. */
export function restOf(message: Message, { calls }: Waiting): Part[] {
  const asked = calls.some(({ why }) => why === 'ask');
  const quoted = asked || (decisionsIn(message) === undefined && calls.some(({ why }) => why === 'confirm'));
  return message.parts.filter((part) => !isApprovalPart(part) && !(quoted && part.text !== undefined));
}

export function answered(one: WaitingCall, answer: ToolAnswer | undefined): WaitingCall {
  if (answer === undefined) return one;
  if ('open' in answer) return { ...one, why: answer.open };
  const { response, files } = answer;
  return { ...one, response, ...(files !== undefined && { files }) };
}

/** Why each call is open is recorded, because the next turn cannot tell it from the steps. */
export async function recordOpen(turn: LoopTurn, calls: WaitingCall[]): Promise<WaitingCall[]> {
  let whys: (string | null)[];
  try {
    whys = await turn.step('waiting', async () => calls.map(({ why }) => why ?? null));
  } catch (error) {
    if (error instanceof NotRecordedError) return calls;
    throw error;
  }
  return calls.map((one, index) => {
    const why = whys[index] as Why | null | undefined;
    return why === undefined || why === null ? one : { ...one, why };
  });
}

/** What Gemini 3 takes within a response; the models before it take nothing there. */
const withinResponse = /^(?:image\/|application\/pdf$|text\/plain$)/;

/** The answers to the calls of one reply, as Gemini takes them: with their files inside, or beside all of them. */
export function responsesTo(calls: readonly WaitingCall[], model: string): GeminiPart[] {
  const beside: GeminiPart[] = [];
  const responses = calls.map(({ call: { id, name }, response = {}, files = [] }): GeminiPart => {
    const parts: { inlineData: { mimeType: string; data: string } }[] = [];
    for (const { mediaType, data } of files) {
      const mimeType = takenType(mediaType);
      if (mimeType === undefined) continue;
      const inside = !isBefore3(model) && withinResponse.test(mimeType);
      (inside ? parts : beside).push({ inlineData: { mimeType, data } });
    }
    const own = parts.length > 0 && { parts };
    return { functionResponse: { ...(id !== undefined && { id }), name, response, ...own } };
  });
  return [...responses, ...beside];
}
