/**
 * Turns the events of a task into the chunks of a message:
 *
 *   artifact, in chunks            ─▶ text in deltas, files, data
 *   artifact that starts again     ─▶ the step is reset: a worker was replaced in the middle of the text
 *   status message that repeats it ─▶ the text stays, and a new step starts: the model has called tools after it
 *   other progress                 ─▶ `data-progress`, which is not kept
 *   auth-required, input-required  ─▶ the calls of tools that wait for the user; a question as text
 *   end                            ─▶ finish, or error
 */
import type { ArtifactUpdate, TaskStatus } from '#shared/domain/events.ts';
import { textOf, type JsonObject, type Part } from '#shared/domain/message.ts';
import { getApprovalRequests } from '../../client/approval.ts';
import type { TaskEvent } from '../../client/follow.ts';
import type { Task } from '../../task.ts';
import { clientToolsKey, type ClientToolCall } from '../run/client-tools.ts';
import type { ChatChunk } from './types.ts';

export class ChunkWriter {
  readonly #emit: (chunk: ChatChunk) => void;
  /** Artifacts that belong to earlier messages. */
  readonly #skip: ReadonlySet<string>;
  /** The text that is open. */
  #open: { id: string; artifactId: string; text: string } | undefined;
  /** Texts of artifacts that are complete. */
  readonly #texts = new Map<string, string>();
  #count = 0;
  #hasText = false;

  constructor(emit: (chunk: ChatChunk) => void, skip: ReadonlySet<string>) {
    this.#emit = emit;
    this.#skip = skip;
  }

  write(event: TaskEvent): void {
    if ('artifactUpdate' in event) return this.#writeArtifact(event.artifactUpdate);
    if ('statusUpdate' in event) {
      const { taskId, contextId, status } = event.statusUpdate;
      return this.#writeStatus({ id: taskId, contextId, status });
    }
    const { id: taskId, contextId, artifacts = [] } = event.task;
    for (const artifact of artifacts) this.#writeArtifact({ taskId, contextId, artifact });
    this.#writeStatus(event.task);
  }

  #writeArtifact({ artifact, append = false }: ArtifactUpdate): void {
    const { artifactId, parts } = artifact;
    if (this.#skip.has(artifactId)) return;
    const text = textOf(parts);
    const before = this.#open?.artifactId === artifactId ? this.#open.text : this.#texts.get(artifactId);
    if (append) this.#writeText(artifactId, text);
    else if (before === undefined || text.startsWith(before)) {
      this.#writeText(artifactId, text.slice(before?.length ?? 0));
    } else {
      this.#reset();
      this.#writeText(artifactId, text);
    }
    for (const part of parts) this.#writeOther(artifactId, part);
  }

  #writeText(artifactId: string, text: string): void {
    if (text === '') return;
    if (this.#open?.artifactId !== artifactId) {
      this.#close();
      this.#open = { id: `${artifactId}/${++this.#count}`, artifactId, text: '' };
      this.#emit({ type: 'text-start', id: this.#open.id });
    }
    this.#hasText = true;
    this.#open.text += text;
    this.#emit({ type: 'text-delta', id: this.#open.id, delta: text });
  }

  #writeOther(artifactId: string, { url, raw, data, mediaType = 'application/octet-stream' }: Part): void {
    if (url !== undefined) this.#emit({ type: 'file', url, mediaType });
    if (raw !== undefined) this.#emit({ type: 'file', url: `data:${mediaType};base64,${raw}`, mediaType });
    if (data !== undefined) this.#emit({ type: 'data-artifact', id: artifactId, data });
  }

  #close(): void {
    if (this.#open === undefined) return;
    this.#emit({ type: 'text-end', id: this.#open.id });
    this.#texts.set(this.#open.artifactId, this.#open.text);
    this.#open = undefined;
  }

  #reset(): void {
    this.#open = undefined;
    this.#texts.clear();
    this.#emit({ type: 'reset-step' });
  }

  #writeStatus(task: Task): void {
    const { state, message } = task.status;
    const text = textOf(message?.parts ?? []);
    switch (state) {
      case 'TASK_STATE_SUBMITTED':
      case 'TASK_STATE_WORKING':
        return this.#writeProgress(text);
      case 'TASK_STATE_AUTH_REQUIRED':
      case 'TASK_STATE_INPUT_REQUIRED':
        return this.#writeQuestions(task, text);
      case 'TASK_STATE_FAILED':
      case 'TASK_STATE_REJECTED':
        this.#close();
        return this.#emit({ type: 'error', errorText: text === '' ? 'The task has failed.' : text });
      case 'TASK_STATE_CANCELED':
        this.#close();
        return this.#emit({ type: 'abort', reason: 'The task was canceled.' });
      case 'TASK_STATE_COMPLETED':
        if (!this.#hasText && text !== '') this.#writeText('status', text);
        return this.#finish('stop');
      default:
        return state satisfies never;
    }
  }

  #writeProgress(text: string): void {
    if (text === '') return;
    const shown = this.#open?.text ?? [...this.#texts.values()].at(-1);
    if (shown?.trim() !== text.trim()) {
      return this.#emit({ type: 'data-progress', data: { text }, transient: true });
    }
    this.#close();
    this.#texts.clear();
    this.#emit({ type: 'finish-step' });
    this.#emit({ type: 'start-step' });
  }

  #writeQuestions(task: Task, text: string): void {
    const approvals = getApprovalRequests(task);
    const calls = readClientCalls(task.status);
    if (approvals.length + calls.length === 0 && text !== '') {
      this.#close();
      this.#writeText('status', text);
    }
    this.#close();
    for (const { toolCallId, toolName, input } of calls) {
      this.#emit({ type: 'tool-input-available', toolCallId, toolName, input });
    }
    for (const { id, tool, arguments: input } of approvals) {
      this.#emit({ type: 'tool-input-available', toolCallId: id, toolName: tool, input });
      this.#emit({ type: 'tool-approval-request', approvalId: id, toolCallId: id });
    }
    this.#finish(approvals.length + calls.length === 0 ? 'stop' : 'tool-calls');
  }

  #finish(finishReason: 'stop' | 'tool-calls'): void {
    this.#close();
    this.#emit({ type: 'finish-step' });
    this.#emit({ type: 'finish', finishReason });
  }
}

function readClientCalls({ message }: TaskStatus): ClientToolCall[] {
  return (message?.parts ?? []).flatMap(({ data }) => {
    const content = (data as JsonObject | null | undefined)?.[clientToolsKey];
    return (content as { calls?: ClientToolCall[] } | undefined)?.calls ?? [];
  });
}
