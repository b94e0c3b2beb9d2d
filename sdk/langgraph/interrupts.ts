/** Interrupts of a graph: what the task asks its user, and how the next message resumes the graph. */
import {
  approvalExtension,
  askForApproval,
  createApprovalPart,
  createApprovalRequest,
  findDecision,
  isApprovalPart,
  type ApprovalRequest,
  type Decision,
} from '#shared/agent/approval.ts';
import { textOf, type Json, type JsonObject, type Message } from '#shared/domain/message.ts';
import type { TurnOutcome } from '#services/worker/agent/agent.ts';
import type { TurnSaver } from './saver.ts';

/** Channels with which LangGraph notes something about a task that has not ended. */
const interruptChannel = '__interrupt__';
export const resumeChannel = '__resume__';
const noteChannels = [interruptChannel, resumeChannel, '__error__', '__scheduled__', '__error_source_node__'];

export interface PendingInterrupt {
  /** By which LangGraph knows it. */
  id: string;
  /** The task that it has interrupted. */
  task: string;
  value: unknown;
}

export interface TaskState {
  interrupted: PendingInterrupt[];
  ended: boolean;
}

/** Returns what the newest checkpoint of a thread knows about the tasks that follow it. */
export async function readTasks(saver: TurnSaver, thread: string): Promise<Map<string, TaskState>> {
  const tuple = await saver.getTuple({ configurable: { thread_id: thread } });
  const tasks = new Map<string, TaskState>();
  for (const [task, channel, value] of tuple?.pendingWrites ?? []) {
    const state = tasks.get(task) ?? { interrupted: [], ended: false };
    tasks.set(task, state);
    if (channel === interruptChannel) {
      for (const interrupt of [value].flat() as { id?: string; value: unknown }[]) {
        state.interrupted.push({ id: interrupt.id ?? '', task, value: interrupt.value });
      }
    } else if (!noteChannels.includes(channel)) state.ended = true;
  }
  return tasks;
}

/** Returns the interrupts that wait for an answer, in a fixed order. */
export async function readPending(saver: TurnSaver, thread: string): Promise<PendingInterrupt[]> {
  const tasks = await readTasks(saver, thread);
  return [...tasks.values()].flatMap(({ interrupted, ended }) => (ended ? [] : interrupted));
}

/** The request of LangChain's human-in-the-loop middleware. */
interface ReviewRequest {
  actionRequests: { name: string; args: JsonObject }[];
}

function isReviewRequest(value: unknown): value is ReviewRequest {
  const requests = (value as Partial<ReviewRequest> | null | undefined)?.actionRequests;
  return Array.isArray(requests) && requests.every((request) => typeof request?.name === 'string');
}

/** @param remark comes first */
export function toOutcome(pending: PendingInterrupt, remark = ''): TurnOutcome {
  const { id, value } = pending;
  if (!isReviewRequest(value)) {
    const text = [remark, describe(value)].filter((line) => line !== '').join('\n\n');
    const data = { interrupt: { id, value: value as Json } };
    return {
      state: 'TASK_STATE_INPUT_REQUIRED',
      message: typeof value === 'string' ? text : [{ text }, { data, mediaType: 'application/json' }],
    };
  }
  const requests = toRequests(id, value);
  return {
    state: 'TASK_STATE_AUTH_REQUIRED',
    message: [
      { text: [remark, askForApproval(requests)].filter((line) => line !== '').join('\n\n') },
      createApprovalPart(requests),
    ],
    extensions: [approvalExtension],
  };
}

/** The value with which a message resumes an interrupt, or a remark that says why it does not. */
export type Resumption = { value: unknown } | { remark: string };

export function toResumption({ id, value }: PendingInterrupt, message: Message): Resumption {
  const data = message.parts.find((part) => part.data !== undefined && !isApprovalPart(part))?.data;
  if (data !== undefined) return { value: data };
  if (!isReviewRequest(value)) return { value: textOf(message.parts) };
  const requests = toRequests(id, value);
  const decisions = requests.map((request) => findDecision(message, request, requests.length === 1));
  if (decisions.some((decision) => decision === undefined)) {
    return { remark: 'Your message did not decide all calls.' };
  }
  return { value: { decisions: decisions.map((decision) => toReview(decision)) } };
}

function toReview(decision: Pick<Decision, 'approve' | 'reason'> | undefined): JsonObject {
  if (decision?.approve === true) return { type: 'approve' };
  return { type: 'reject', ...(decision?.reason !== undefined && { message: decision.reason }) };
}

function toRequests(id: string, { actionRequests }: ReviewRequest): ApprovalRequest[] {
  return actionRequests.map(({ name, args }, index) => createApprovalRequest(`${id}:${index}`, name, args));
}

function describe(value: unknown): string {
  if (typeof value === 'string') return value;
  const { question, message } = (value ?? {}) as { question?: unknown; message?: unknown };
  const text = question ?? message;
  return typeof text === 'string' ? text : `The agent asks: ${JSON.stringify(value)}`;
}
