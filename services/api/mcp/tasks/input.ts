/**
 * Converts the questions of a task to requests for input of MCP, and their responses to a message to the task.
 *
 *   question, authorization    key: the id of the status message         a text
 *   approval of a call         key: the id and the hash of the call      approve, and a note
 *
 * Each status message has an id of its own, and an id names one call for the life of the task, so a key is never used twice
 * (SEP-2663, "Task Update Requests"). A call that is not decided yet keeps its key when others have been.
 */
import { createHash } from 'node:crypto';
import { approvalExtension, type ApprovalRequest } from '#shared/agent/approval.ts';
import { textOf, type Json, type JsonObject, type Part } from '#shared/domain/message.ts';
import { getStateClass, stateClass } from '#shared/domain/task.ts';
import type { ElicitationRequest, TaskJson } from '../protocol.ts';
import { getApprovalRequests } from './result.ts';

const declined = 'The user declined to answer.';

/** Returns the requests for input of a task that waits for its user; none of any other. */
export function toInputRequests(task: TaskJson): Record<string, ElicitationRequest> {
  const question = getQuestionKey(task);
  if (question === undefined) return {};
  const text = textOf(task.status.message?.parts ?? []);
  const approvals = getApprovalRequests(task);
  if (approvals.length === 0) return { [question]: createForm(text, questionSchema) };
  return Object.fromEntries(
    approvals.map((approval) => {
      const { tool, arguments: args } = approval;
      // The same each time, as is the key. The status message lists the calls that are open at the time.
      const asked = `The agent asks for your approval to call:\n${tool} ${JSON.stringify(args)}`;
      return [getApprovalKey(approval), createForm(asked, approvalSchema)];
    }),
  );
}

/** A message to the task: its id, and its parts. */
export interface Answer {
  messageId: string;
  parts: Part[];
}

/**
 * Returns the message for the responses to the requests that are outstanding. Undefined: there are none, or the user has
 * dismissed them. Its id follows from the requests, so each is answered once.
 */
export function toAnswer(task: TaskJson, responses: Readonly<Record<string, unknown>>): Answer | undefined {
  const question = getQuestionKey(task);
  if (question === undefined) return undefined;
  const approvals = getApprovalRequests(task);
  const prefix = `mcp-answer:${question}`;
  if (approvals.length === 0) {
    const parts = answerQuestion(responses[question]);
    return parts.length === 0 ? undefined : { messageId: prefix, parts };
  }
  const { decisions, notes } = decide(approvals, responses);
  if (decisions.length === 0) return undefined;
  const data: Json = { [approvalExtension]: { decisions } };
  const decided = JSON.stringify(decisions.map(({ id }) => id));
  return {
    messageId: `${prefix}:${createHash('sha256').update(decided).digest('base64url')}`,
    parts: [{ data, mediaType: 'application/json' }, ...notes.map((text) => ({ text }))],
  };
}

function answerQuestion(response: unknown): Part[] {
  const { action, content } = readResponse(response);
  if (action === 'decline') return [{ text: declined }];
  if (action !== 'accept') return [];
  const { answer, ...others } = content;
  if (typeof answer === 'string' && answer !== '') return [{ text: answer }];
  const more = Object.keys(others).length > 0 ? JSON.stringify(others) : undefined;
  return [{ text: more ?? '(an empty answer)' }];
}

function decide(
  approvals: readonly ApprovalRequest[],
  responses: Readonly<Record<string, unknown>>,
): { decisions: JsonObject[]; notes: string[] } {
  const notes: string[] = [];
  const decisions = approvals.flatMap((approval): JsonObject[] => {
    const { id, argumentsHash } = approval;
    const { action, content } = readResponse(responses[getApprovalKey(approval)]);
    const note = typeof content['note'] === 'string' ? content['note'] : '';
    if (action === 'decline') return [{ id, argumentsHash, approve: false }];
    if (action !== 'accept' || typeof content['approve'] !== 'boolean') return [];
    if (note !== '') notes.push(note);
    return [{ id, argumentsHash, approve: content['approve'], ...(note !== '' && { reason: note }) }];
  });
  return { decisions, notes };
}

/** The result of an elicitation (MCP, client/elicitation). One that cannot be read counts as dismissed. */
function readResponse(response: unknown): { action: unknown; content: JsonObject } {
  const { action, content } = (isObject(response) ? response : {}) as { action?: unknown; content?: unknown };
  return { action, content: isObject(content) ? content : {} };
}

const hashChars = 12;

function getApprovalKey({ id, argumentsHash }: ApprovalRequest): string {
  return `${id}-${argumentsHash.slice(0, hashChars)}`;
}

function getQuestionKey({ status: { state, message, timestamp } }: TaskJson): string | undefined {
  if (getStateClass(state) !== stateClass.interrupted) return undefined;
  return message?.messageId ?? timestamp;
}

function createForm(message: string, requestedSchema: JsonObject): ElicitationRequest {
  return { method: 'elicitation/create', params: { mode: 'form', message, requestedSchema } };
}

const questionSchema: JsonObject = {
  type: 'object',
  properties: { answer: { type: 'string', title: 'Answer' } },
  required: ['answer'],
};

const approvalSchema: JsonObject = {
  type: 'object',
  properties: {
    approve: {
      type: 'boolean',
      title: 'Approve the call',
      description: 'The agent makes no call until you do.',
    },
    note: { type: 'string', title: 'Note for the agent' },
  },
  required: ['approve'],
};

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
