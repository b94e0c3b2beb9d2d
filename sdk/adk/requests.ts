/**
 * Finds what a run of ADK waits for, and how the next message of the user answers it:
 *
 *   adk_request_confirmation   the approval of a tool call       auth-required, the approval extension
 *   adk_request_input          a question of a node or an agent  input-required
 *   a long-running tool        its result                        input-required
 */
import {
  REQUEST_CONFIRMATION_FUNCTION_CALL_NAME,
  REQUEST_CREDENTIAL_FUNCTION_CALL_NAME,
  REQUEST_INPUT_FUNCTION_CALL_NAME,
} from '@google/adk';
import {
  approvalExtension,
  askForApproval,
  createApprovalPart,
  createApprovalRequest,
  findDecision,
  isApprovalPart,
  type ApprovalRequest,
} from '#shared/agent/approval.ts';
import { FatalError } from '#shared/domain/errors.ts';
import { textOf, type Json, type JsonObject, type Message, type Part } from '#shared/domain/message.ts';
import type { TurnOutcome } from '#services/worker/agent/agent.ts';
import type { SessionEntry } from './entries.ts';
import type { Content, FunctionCall, GeminiPart } from './parts.ts';

export interface OpenRequest {
  id: string;
  /** The function that waits, or that asks. */
  name: string;
  kind: 'confirmation' | 'input' | 'result';
  /** The call that needs an approval. */
  call: { name: string; args: JsonObject } | undefined;
  text: string;
}

interface RecordedEvent {
  content?: Content;
  longRunningToolIds?: string[];
}

/**
 * Returns what waits after these changes of a session.
 *
 * @throws {FatalError} if a tool asks for a credential
 */
export function findRequests(entries: readonly SessionEntry[], app: string): OpenRequest[] {
  const events = entries.flatMap((entry) =>
    'event' in entry && entry.app === app ? [entry.event as unknown as RecordedEvent] : [],
  );
  const parts = events.flatMap(({ content }) => content?.parts ?? []);
  const answered = new Set(parts.flatMap(({ functionResponse }) => functionResponse?.id ?? []));
  return events.flatMap(({ content, longRunningToolIds = [] }) =>
    (content?.parts ?? []).flatMap(({ functionCall }) => {
      if (functionCall?.id === undefined || !longRunningToolIds.includes(functionCall.id)) return [];
      return answered.has(functionCall.id) ? [] : [toRequest(functionCall, functionCall.id)];
    }),
  );
}

function toRequest({ name = '', args = {} }: FunctionCall, id: string): OpenRequest {
  switch (name) {
    case REQUEST_CONFIRMATION_FUNCTION_CALL_NAME: {
      const { originalFunctionCall: original } = args as { originalFunctionCall?: FunctionCall };
      const call = { name: original?.name ?? '', args: (original?.args ?? {}) as JsonObject };
      return { id, name, kind: 'confirmation', call, text: '' };
    }
    case REQUEST_INPUT_FUNCTION_CALL_NAME: {
      const { message } = args as { message?: unknown };
      const text =
        typeof message === 'string' && message !== '' ? message : 'The agent waits for your answer.';
      return { id, name, kind: 'input', call: undefined, text };
    }
    case REQUEST_CREDENTIAL_FUNCTION_CALL_NAME:
      throw new FatalError(
        'A tool asks its user for a credential, which does not belong into messages of a task: give the tool credentials of its own.',
      );
    default:
      return { id, name, kind: 'result', call: undefined, text: `The tool ${name} waits for its result.` };
  }
}

/** @param said what the agent has said; it comes first */
export function toRequestOutcome(requests: readonly OpenRequest[], said = ''): TurnOutcome {
  const asked = requests.flatMap(({ text }) => (text === '' ? [] : [text]));
  const approvals = requests.flatMap((request) => toApproval(request));
  if (approvals.length === 0) {
    const ids = requests.map(({ id, name }) => ({ id, name }));
    const text = [said, ...asked].filter((line) => line !== '').join('\n\n');
    const data: Part = { data: { requests: ids }, mediaType: 'application/json' };
    return { state: 'TASK_STATE_INPUT_REQUIRED', message: requests.length === 1 ? text : [{ text }, data] };
  }
  const text = [said, ...asked, askForApproval(approvals)].filter((line) => line !== '').join('\n\n');
  return {
    state: 'TASK_STATE_AUTH_REQUIRED',
    message: [{ text }, createApprovalPart(approvals)],
    extensions: [approvalExtension],
  };
}

function toApproval({ id, call }: OpenRequest): ApprovalRequest[] {
  return call === undefined ? [] : [createApprovalRequest(id, call.name, call.args)];
}

/**
 * Returns what the message says to ADK.
 *
 * @param content the message of the user as it is
 */
export function toAnswer(
  requests: readonly OpenRequest[],
  message: Message,
  content: Content,
): { content: Content } | { remark: string } {
  const confirmations = requests.filter(({ kind }) => kind === 'confirmation');
  const decisions = confirmations.map((request) => decide(request, message, confirmations.length));
  // ADK reads the approvals of one message only.
  if (decisions.some((decision) => decision === undefined)) {
    return { remark: 'Your message did not decide all calls.' };
  }
  const others = requests.filter(({ kind }) => kind !== 'confirmation');
  const data = message.parts.find((part) => part.data !== undefined && !isApprovalPart(part))?.data;
  // ADK takes a plain text as the answer to a question that waits alone.
  const [only] = others;
  if (confirmations.length === 0 && others.length === 1 && only?.kind === 'input' && data === undefined) {
    return { content };
  }
  const parts: GeminiPart[] = confirmations.map(({ id, name }, index) => ({
    functionResponse: { id, name, response: decisions[index] ?? {} },
  }));
  for (const { id, name } of others) {
    parts.push({
      functionResponse: { id, name, response: toResponse(findAnswer(data, id) ?? textOf(message.parts)) },
    });
  }
  return { content: { role: 'user', parts } };
}

function decide(request: OpenRequest, message: Message, confirmations: number): JsonObject | undefined {
  const [approval] = toApproval(request);
  const decision = approval && findDecision(message, approval, confirmations === 1);
  if (decision === undefined) return undefined;
  const { approve, reason } = decision;
  return { confirmed: approve, ...(reason !== undefined && { hint: reason }) };
}

/** Data is the answer, or has one for each request under its id. */
function findAnswer(data: Json | undefined, id: string): Json | undefined {
  const isObject = typeof data === 'object' && data !== null && !Array.isArray(data);
  return isObject && Object.hasOwn(data, id) ? data[id] : data;
}

function toResponse(answer: Json): JsonObject {
  return typeof answer === 'object' && answer !== null && !Array.isArray(answer)
    ? answer
    : { result: answer };
}
