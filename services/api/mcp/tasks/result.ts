/** Converts tasks to the results of tools: text, structured content, and files as links. */
import type { CallToolResult } from '@modelcontextprotocol/server';
import { approvalExtension, type ApprovalRequest } from '#shared/agent/approval.ts';
import { textOf, type Json, type JsonObject, type Part } from '#shared/domain/message.ts';
import { getStateClass, stateClass, toStateName } from '#shared/domain/task.ts';
import type { TaskJson } from '../protocol.ts';

type ContentBlock = CallToolResult['content'][number];

/** Returns what a task has produced or asks, or where its result will be. */
export function toToolResult(task: TaskJson): CallToolResult {
  const { state } = task.status;
  const { interrupted, runnable } = stateClass;
  const isOpen = getStateClass(state) === runnable || getStateClass(state) === interrupted;
  const parts = getParts(task);
  const content = parts.flatMap((part, index) => toContent(task.id, part, index));
  if (isOpen) content.push({ type: 'text', text: describeNextStep(task) });
  if (content.length === 0) content.push({ type: 'text', text: `The task is ${toStateName(state)}.` });
  const isError =
    state === 'TASK_STATE_FAILED' || state === 'TASK_STATE_REJECTED' || state === 'TASK_STATE_CANCELED';
  return {
    content,
    structuredContent: { ...toTaskView(task), ...(isOpen && { nextStep: describeNextStep(task) }) },
    ...(isError && { isError: true }),
  };
}

/** The fields of a task for a model: `taskViewSchema` describes them. */
export function toTaskView(task: TaskJson): JsonObject {
  const parts = getParts(task);
  const text = textOf(parts);
  const data = parts.flatMap(({ data: value }) => (value === undefined ? [] : [value]));
  const files = parts.flatMap(describeFile);
  const approvals = getApprovalRequests(task);
  return {
    taskId: task.id,
    contextId: task.contextId,
    state: toStateName(task.status.state),
    ...(text !== '' && { text }),
    ...(data.length > 0 && { data }),
    ...(files.length > 0 && { files }),
    ...(approvals.length > 0 && { approvals }),
  };
}

/** Returns the calls that a task asks its user to approve. */
export function getApprovalRequests({ status: { state, message } }: TaskJson): ApprovalRequest[] {
  if (state !== 'TASK_STATE_AUTH_REQUIRED') return [];
  return (message?.parts ?? []).flatMap(({ data }) => readRequests(data));
}

function readRequests(data: Json | undefined): ApprovalRequest[] {
  const content = isObject(data) ? data[approvalExtension] : undefined;
  const requests = isObject(content) ? content['requests'] : undefined;
  return Array.isArray(requests) ? (requests as ApprovalRequest[]) : [];
}

/** The artifacts, and the message of the status: an answer, a question or a reason. Progress is shown if nothing else is. */
function getParts({ artifacts = [], status }: TaskJson): Part[] {
  const own = artifacts.flatMap(({ parts }) => parts ?? []);
  const said = status.message?.parts ?? [];
  return [...own, ...said.filter((part) => !isApprovalPart(part))];
}

function isApprovalPart({ data }: Part): boolean {
  return readRequests(data).length > 0;
}

function toContent(taskId: string, part: Part, index: number): ContentBlock[] {
  const { text, raw, url, data, mediaType = 'application/octet-stream', filename } = part;
  if (text !== undefined) return text === '' ? [] : [{ type: 'text', text }];
  if (data !== undefined) return [{ type: 'text', text: JSON.stringify(data) }];
  if (url !== undefined) {
    return [{ type: 'resource_link', uri: url, name: filename ?? getLastSegment(url), ...toMimeType(part) }];
  }
  if (raw === undefined) return [];
  if (mediaType.startsWith('image/')) return [{ type: 'image', data: raw, mimeType: mediaType }];
  if (mediaType.startsWith('audio/')) return [{ type: 'audio', data: raw, mimeType: mediaType }];
  const uri = `task:${taskId}/${index}/${encodeURIComponent(filename ?? 'file')}`;
  return [{ type: 'resource', resource: { uri, blob: raw, mimeType: mediaType } }];
}

function describeFile(part: Part): JsonObject[] {
  const { url, raw, filename } = part;
  if (url === undefined && raw === undefined) return [];
  const name = filename ?? (url === undefined ? 'file' : getLastSegment(url));
  return [{ name, ...(url !== undefined && { url }), ...toMimeType(part) }];
}

function toMimeType({ mediaType }: Part): { mimeType?: string } {
  return mediaType === undefined || mediaType === '' ? {} : { mimeType: mediaType };
}

function getLastSegment(url: string): string {
  const last = URL.parse(url)?.pathname.split('/').at(-1);
  return last === undefined || last === '' ? 'file' : last;
}

function describeNextStep(task: TaskJson): string {
  const { id } = task;
  const { state } = task.status;
  const taskId = JSON.stringify({ taskId: id });
  const answer = JSON.stringify({ taskId: id, text: '…' });
  if (getStateClass(state) === stateClass.runnable) {
    return `Task ${id} is still ${toStateName(state)}: call get_task with ${taskId} for its result, or cancel_task with ${taskId} to stop it.`;
  }
  if (state === 'TASK_STATE_INPUT_REQUIRED')
    return `Task ${id} waits for an answer: call answer_task with ${answer}.`;
  return getApprovalRequests(task).length > 0
    ? `Task ${id} waits for the approval of its user: call answer_task with its taskId, and with decisions that name the id and the argumentsHash of each approval.`
    : `Task ${id} waits for an authorization: call answer_task with ${answer} to continue it.`;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
