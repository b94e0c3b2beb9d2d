/**
 * Tool calls that only the caller of the task can answer: those that need its approval (docs/extensions/approval.md), and
 * those of tools that the client executes. The turn ends with them, and the next message answers them.
 */
import {
  approvalExtension,
  askForApproval,
  createApprovalPart,
  createApprovalRequest,
  findDecision,
  isApprovalPart,
  readDecisions,
} from '#shared/agent/approval.ts';
import { textOf, type Json, type JsonObject, type Message, type Part } from '#shared/domain/message.ts';
import type { TurnOutcome } from '#services/worker/agent/agent.ts';
import { clientToolsKey, type ClientToolCall } from './client-tools.ts';
import { encode } from '../codec.ts';
import type { ContentPart, ModelMessageLike } from '../types.ts';

/** A call without a result. `approvalId`: the AI SDK's id of the request to approve it. */
export interface PendingCall extends ClientToolCall {
  approvalId?: string;
}

/** The caller's answers so far, by the id of the call. */
export interface Answers {
  [toolCallId: string]: { approved: boolean; reason?: string } | { result: Json } | { error: string };
}

/** Returns the calls of the last response that have no result, in their order. */
export function findPending(messages: readonly ModelMessageLike[]): PendingCall[] {
  const parts = messages.flatMap(({ content }) => (typeof content === 'string' ? [] : content));
  const ofType = (type: string): ContentPart[] => parts.filter((part) => part.type === type);
  const done = new Set(ofType('tool-result').map(({ toolCallId }) => toolCallId));
  const answered = new Set(ofType('tool-approval-response').map((part) => part['approvalId']));
  const approvals = new Map(
    ofType('tool-approval-request').map((part) => [part.toolCallId, part['approvalId']]),
  );
  return ofType('tool-call').flatMap(({ toolCallId = '', toolName = '', input, providerExecuted }) => {
    const approvalId = approvals.get(toolCallId);
    if (done.has(toolCallId) || answered.has(approvalId ?? null)) return [];
    if (providerExecuted === true && approvalId === undefined) return [];
    const call = { toolCallId, toolName, input: encode(input) };
    return [typeof approvalId === 'string' ? { ...call, approvalId } : call];
  });
}

/** Adds what a message answers. A plain word, or any content of a message, answers a call that is pending alone. */
export function addAnswers(pending: readonly PendingCall[], message: Message, earlier: Answers): Answers {
  const answers: Answers = { ...earlier };
  const open = pending.filter(({ toolCallId }) => !Object.hasOwn(earlier, toolCallId));
  const results = readResults(message);
  const alone = open.length === 1 && results.length === 0;
  for (const call of open) {
    const result = results.find(({ toolCallId }) => toolCallId === call.toolCallId);
    const answer =
      call.approvalId === undefined
        ? toResult(result, alone ? message : undefined)
        : toApproval(call, message, alone);
    if (answer !== undefined) answers[call.toolCallId] = answer;
  }
  return answers;
}

function toApproval(call: PendingCall, message: Message, alone: boolean): Answers[string] | undefined {
  const decision = findDecision(message, toApprovalRequest(call), alone);
  if (decision === undefined) return undefined;
  const { approve: approved, reason } = decision;
  return { approved, ...(reason !== undefined && { reason }) };
}

/** @param message whose whole content is the result of a call that is pending alone */
function toResult(
  result: ReportedResult | undefined,
  message: Message | undefined,
): Answers[string] | undefined {
  if (result !== undefined) {
    return typeof result.error === 'string' ? { error: result.error } : { result: result.output ?? null };
  }
  if (message === undefined || readDecisions(message) !== undefined) return undefined;
  return { result: toPlainResult(message.parts) };
}

/** Returns the message that gives the answers to the AI SDK, which then executes the approved calls. */
export function toToolMessage(pending: readonly PendingCall[], answers: Answers): ModelMessageLike {
  const content = pending.flatMap(({ toolCallId, toolName, approvalId }): ContentPart[] => {
    const answer = answers[toolCallId];
    if (answer === undefined) return [];
    if ('approved' in answer) return [{ type: 'tool-approval-response', approvalId, ...answer }];
    const output =
      'error' in answer
        ? { type: 'error-text', value: answer.error }
        : typeof answer.result === 'string'
          ? { type: 'text', value: answer.result }
          : { type: 'json', value: answer.result };
    return [{ type: 'tool-result', toolCallId, toolName, output }];
  });
  return { role: 'tool', content };
}

/** Returns the end of a turn that waits for answers. `remark` comes first. */
export function toPendingOutcome(
  pending: readonly PendingCall[],
  answers: Answers,
  remark: string,
): TurnOutcome {
  const open = pending.filter(({ toolCallId }) => !Object.hasOwn(answers, toolCallId));
  const approvals = open.filter(({ approvalId }) => approvalId !== undefined).map(toApprovalRequest);
  const clientCalls = open.filter(({ approvalId }) => approvalId === undefined);
  const question = approvals.length === 0 ? '' : askForApproval(approvals, open.length);
  const texts = [remark, describeClientCalls(clientCalls), question];
  const calls = clientCalls.map(({ toolCallId, toolName, input }) => ({ toolCallId, toolName, input }));
  const message: Part[] = [
    { text: texts.filter((text) => text !== '').join('\n\n') },
    ...(approvals.length > 0 ? [createApprovalPart(approvals)] : []),
    ...(calls.length > 0 ? [{ data: { [clientToolsKey]: { calls } }, mediaType: 'application/json' }] : []),
  ];
  if (approvals.length === 0) return { state: 'TASK_STATE_INPUT_REQUIRED', message };
  return { state: 'TASK_STATE_AUTH_REQUIRED', message, extensions: [approvalExtension] };
}

function describeClientCalls(calls: readonly PendingCall[]): string {
  if (calls.length === 0) return '';
  return `The agent waits for the result of:\n${calls.map(({ toolName, input }) => `- ${toolName} ${JSON.stringify(input)}`).join('\n')}`;
}

function toApprovalRequest({ toolCallId, toolName, input }: PendingCall) {
  const isObject = typeof input === 'object' && input !== null && !Array.isArray(input);
  return createApprovalRequest(toolCallId, toolName, isObject ? input : { input });
}

interface ReportedResult {
  toolCallId?: Json;
  output?: Json;
  error?: Json;
}

function readResults({ parts }: Message): ReportedResult[] {
  return parts.flatMap(({ data }) => {
    if (typeof data !== 'object' || data === null || Array.isArray(data)) return [];
    const content = data[clientToolsKey] as JsonObject | undefined;
    return Array.isArray(content?.['results']) ? (content['results'] as JsonObject[]) : [];
  });
}

/** The data of a message if it is nothing else, otherwise its text. */
function toPlainResult(parts: readonly Part[]): Json {
  const [first, ...others] = parts.filter((part) => !isApprovalPart(part));
  return others.length === 0 && first?.data !== undefined ? first.data : textOf(parts);
}
