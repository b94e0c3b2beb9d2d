/**
 * A transport for `useChat`. The chat is a context of the agent, under the id of the chat, and each message of the user
 * starts a task in it, or answers the one that waits. Nothing is kept in the browser: after a reload, the running task is
 * found by the id of the chat, and its stream starts with the text that the agent has written so far.
 */
import { Task as WireTask, TaskState as WireState } from '@a2a-js/sdk';
import { getStateClass, isTerminal, stateClass } from '#shared/domain/task.ts';
import { textOf } from '#shared/domain/message.ts';
import type { AgentClient } from '../../client/agent.ts';
import { connect, type ConnectOptions } from '../../client/connect.ts';
import type { Task } from '../../task.ts';
import { toAnswers, toUserParts, type Outgoing } from './answers.ts';
import { ChunkWriter } from './chunks.ts';
import type { ChatChunk, ChatMessage } from './types.ts';

export interface ChatTransportOptions extends ConnectOptions {
  /** Base URL of the agent. */
  url: string | URL;
  /** Cancels the task when the user stops the chat. Default: false, the task runs on. */
  cancelOnStop?: boolean;
}

/** `ChatTransport<UIMessage>` of the AI SDK. */
export class ChatTransport {
  /** A resumed stream starts at the start of the message. */
  readonly resumeStreamIsReplay = true;
  readonly #options: ChatTransportOptions;
  #client: Promise<AgentClient> | undefined;

  constructor(options: ChatTransportOptions) {
    this.#options = options;
  }

  /**
   * Sends the last message, and streams the answer.
   *
   * @throws {TypeError} if the message has nothing to send: no text, no file, and no answer that the task waits for
   */
  async sendMessages({
    chatId,
    messages,
    abortSignal,
  }: {
    chatId: string;
    messages: readonly ChatMessage[];
    abortSignal: AbortSignal | undefined;
  }): Promise<ReadableStream<ChatChunk>> {
    const client = await this.#connect();
    const message = messages.at(-1);
    const last = await findLastTask(client, chatId);
    const waiting = last !== undefined && isWaiting(last) ? last : undefined;
    const outgoing = message === undefined ? undefined : toOutgoing(message, waiting);
    if (message === undefined || outgoing === undefined) {
      throw new TypeError(
        'The chat has nothing to send: expected a message, or the answer that the task waits for.',
      );
    }
    const sent = await client.send(outgoing.parts, {
      // The same message is sent once, even if the browser repeats it.
      ...(message.role === 'user' && { messageId: message.id }),
      ...(waiting === undefined ? { contextId: chatId } : { taskId: waiting.id }),
      ...(outgoing.metadata && { messageMetadata: outgoing.metadata }),
      ...(abortSignal && { signal: abortSignal }),
    });
    if (sent.task === undefined) return streamText(textOf(sent.message.parts));
    const earlier = new Set(waiting?.artifacts?.map(({ artifactId }) => artifactId));
    return this.#stream(
      client,
      sent.task,
      { earlier, outgoing, continues: message.role !== 'user' },
      abortSignal,
    );
  }

  /** Streams the message that the running task of the chat writes, from its start; null: no task runs. */
  async reconnectToStream({
    chatId,
    abortSignal,
  }: {
    chatId: string;
    abortSignal?: AbortSignal;
  }): Promise<ReadableStream<ChatChunk> | null> {
    const client = await this.#connect();
    const task = await findLastTask(client, chatId);
    if (task === undefined || isWaiting(task) || isTerminal(task.status.state)) return null;
    return this.#stream(client, task, { earlier: new Set(), continues: false }, abortSignal);
  }

  #connect(): Promise<AgentClient> {
    const { url, ...options } = this.#options;
    this.#client ??= connect(url, options).catch((error: unknown) => {
      this.#client = undefined;
      throw error;
    });
    return this.#client;
  }

  #stream(
    client: AgentClient,
    task: Task,
    {
      earlier,
      outgoing,
      continues,
    }: { earlier: ReadonlySet<string>; outgoing?: Outgoing; continues: boolean },
    abortSignal: AbortSignal | undefined,
  ): ReadableStream<ChatChunk> {
    const canceled = new AbortController();
    const signal = AbortSignal.any([canceled.signal, ...(abortSignal === undefined ? [] : [abortSignal])]);
    const stop = (): void => {
      // The task may have ended.
      if (this.#options.cancelOnStop === true) client.cancel(task.id).catch(() => undefined);
    };
    abortSignal?.addEventListener('abort', stop, { once: true });
    return new ReadableStream<ChatChunk>({
      start: async (controller) => {
        const emit = (chunk: ChatChunk): void => controller.enqueue(chunk);
        const writer = new ChunkWriter(emit, earlier);
        const messageMetadata = { taskId: task.id, contextId: task.contextId };
        emit({ type: 'start', ...(!continues && { messageId: `${task.id}/answer` }), messageMetadata });
        for (const toolCallId of outgoing?.refused ?? []) emit({ type: 'tool-output-denied', toolCallId });
        for (const toolCallId of outgoing?.approved ?? []) {
          emit({ type: 'tool-output-available', toolCallId, output: 'approved' });
        }
        emit({ type: 'start-step' });
        try {
          for await (const event of client.follow(task.id, { signal })) writer.write(event);
          controller.close();
        } catch (error) {
          if (!canceled.signal.aborted) controller.error(error);
        } finally {
          abortSignal?.removeEventListener('abort', stop);
        }
      },
      cancel: () => canceled.abort(),
    });
  }
}

function toOutgoing(message: ChatMessage, waiting: Task | undefined): Outgoing | undefined {
  if (message.role !== 'user') return waiting && toAnswers(message, waiting);
  const parts = toUserParts(message);
  return parts.length === 0 ? undefined : { parts, approved: [], refused: [] };
}

function isWaiting({ status }: Task): boolean {
  return getStateClass(status.state) === stateClass.interrupted;
}

async function findLastTask(client: AgentClient, contextId: string): Promise<Task | undefined> {
  const { tasks } = await client.sdk.listTasks({
    tenant: '',
    contextId,
    status: WireState.TASK_STATE_UNSPECIFIED,
    pageSize: 1,
    pageToken: '',
    historyLength: 0,
    statusTimestampAfter: undefined,
    includeArtifacts: true,
  });
  const [task] = tasks;
  return task && (WireTask.toJSON(task) as Task);
}

/** The answer of an agent that needs no task. */
function streamText(text: string): ReadableStream<ChatChunk> {
  return new ReadableStream<ChatChunk>({
    start: (controller) => {
      controller.enqueue({ type: 'start' });
      controller.enqueue({ type: 'start-step' });
      controller.enqueue({ type: 'text-start', id: 'answer' });
      controller.enqueue({ type: 'text-delta', id: 'answer', delta: text });
      controller.enqueue({ type: 'text-end', id: 'answer' });
      controller.enqueue({ type: 'finish-step' });
      controller.enqueue({ type: 'finish', finishReason: 'stop' });
      controller.close();
    },
  });
}
