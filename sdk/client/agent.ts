/** A client of one agent, over the A2A SDK's client, with the JSON shapes of A2A 1.0 in place of its generated classes. */
import {
  CancelTaskRequest,
  GetTaskRequest,
  Message as WireMessage,
  SendMessageRequest,
  SubscribeToTaskRequest,
  Task as WireTask,
  TaskPushNotificationConfig,
} from '@a2a-js/sdk';
import type { Client, RequestOptions } from '@a2a-js/sdk/client';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { JsonObject, Message, Part } from '#shared/domain/message.ts';
import { webhookOptionsHeader, webhooksExtensionUri } from '#shared/webhooks/extension.ts';
import type { Task } from '../task.ts';
import { createDecisions, type ApprovalDecision } from './approval.ts';
import { followTask, isSettled, replayExtensionUri, type FollowOptions, type TaskEvent } from './follow.ts';

/** A webhook of a task. `events`, `order` and `secret` need an agent with the extension (docs/use/webhooks.md). */
export interface Webhook {
  url: string;
  /** Default: chosen by the agent. */
  id?: string;
  token?: string;
  authentication?: { scheme: string; credentials?: string };
  events?: 'all' | 'state' | 'end';
  order?: 'strict' | 'none';
  secret?: string;
}

export interface SendOptions {
  /** The task that the message continues. */
  taskId?: string;
  /** The conversation in which it starts a task. */
  contextId?: string;
  /** Send the same id again to repeat a send safely, with an agent that knows repeats. Default: a new UUID. */
  messageId?: string;
  messageMetadata?: JsonObject;
  /** Metadata of the request. */
  metadata?: JsonObject;
  acceptedOutputModes?: string[];
  referenceTaskIds?: string[];
  webhook?: Webhook;
  signal?: AbortSignal;
}

/** An agent answers with a task, or with a single message. */
export type SendResult = { task: Task; message?: undefined } | { message: Message; task?: undefined };

export class AgentClient {
  /** The client of the SDK, for everything else. */
  readonly sdk: Client;
  readonly #extensions: ReadonlySet<string>;

  /** @param extensions the URIs that the agent's card declares */
  constructor(sdk: Client, extensions: ReadonlySet<string>) {
    this.sdk = sdk;
    this.#extensions = extensions;
  }

  /** Sends a message and returns at once. A busy agent may answer with a task that has ended already. */
  async send(content: Part[] | string, options: SendOptions = {}): Promise<SendResult> {
    const { taskId, contextId, messageId = uuidv7(), messageMetadata, referenceTaskIds, signal } = options;
    const { metadata, acceptedOutputModes, webhook } = options;
    const request = {
      message: {
        messageId,
        role: 'ROLE_USER',
        parts: typeof content === 'string' ? [{ text: content }] : content,
        ...(taskId !== undefined && { taskId }),
        ...(contextId !== undefined && { contextId }),
        ...(messageMetadata && { metadata: messageMetadata }),
        ...(referenceTaskIds && { referenceTaskIds }),
      },
      configuration: {
        returnImmediately: true,
        ...(acceptedOutputModes && { acceptedOutputModes }),
        ...(webhook && { taskPushNotificationConfig: toConfig(webhook) }),
      },
      ...(metadata && { metadata }),
    };
    const sent = await this.sdk.sendMessage(SendMessageRequest.fromJSON(request), {
      ...withSignal(signal),
      ...(webhook && this.#createWebhookParameters(webhook)),
    });
    return 'messageId' in sent ? { message: WireMessage.toJSON(sent) as Message } : { task: toTask(sent) };
  }

  /** Reads a task. */
  async get(taskId: string, { signal }: { signal?: AbortSignal } = {}): Promise<Task> {
    return toTask(await this.sdk.getTask(GetTaskRequest.fromJSON({ id: taskId }), withSignal(signal)));
  }

  /** Waits until a task ends or waits for its caller, over broken connections. */
  async wait(taskId: string, options: FollowOptions = {}): Promise<Task> {
    for await (const event of this.follow(taskId, options)) {
      if (isSettled(event)) break;
    }
    return this.get(taskId, options);
  }

  /**
   * Follows a task until it ends or waits for its caller. A broken connection is made again: with an agent that numbers
   * its events (docs/extensions/replay.md), each later event arrives once; with others, the current task comes first.
   */
  follow(taskId: string, options: FollowOptions = {}): AsyncGenerator<TaskEvent, void, undefined> {
    const request = SubscribeToTaskRequest.fromJSON({ id: taskId });
    return followTask({
      replays: this.#extensions.has(replayExtensionUri),
      options,
      subscribe: (serviceParameters) =>
        this.sdk.resubscribeTask(request, { serviceParameters, ...withSignal(options.signal) }),
      get: () => this.get(taskId, options),
    });
  }

  /** Sends the next message to a task that waits for its caller, or is working. */
  async answer(
    taskId: string,
    content: Part[] | string,
    options: Omit<SendOptions, 'taskId'> = {},
  ): Promise<Task> {
    const { task } = await this.send(content, { ...options, taskId });
    return task ?? this.get(taskId, options);
  }

  /**
   * Approves the calls of tools for which a task waits, or refuses them (docs/extensions/approval.md).
   *
   * @throws {Error} if the task waits for no approval
   */
  async approve(taskId: string, decision: ApprovalDecision = { approve: true }): Promise<Task> {
    const { metadata, text } = createDecisions(await this.get(taskId), decision);
    return this.answer(taskId, text, { messageMetadata: metadata });
  }

  async cancel(taskId: string, { signal }: { signal?: AbortSignal } = {}): Promise<Task> {
    return toTask(await this.sdk.cancelTask(CancelTaskRequest.fromJSON({ id: taskId }), withSignal(signal)));
  }

  /** Adds a webhook to a task. Returns its id. */
  async addWebhook(taskId: string, webhook: Webhook): Promise<string> {
    const config = TaskPushNotificationConfig.fromJSON({ taskId, ...toConfig(webhook) });
    const { id } = await this.sdk.createTaskPushNotificationConfig(
      config,
      this.#createWebhookParameters(webhook),
    );
    return id;
  }

  async listWebhooks(taskId: string): Promise<Webhook[]> {
    const { configs } = await this.sdk.listTaskPushNotificationConfig({
      tenant: '',
      taskId,
      pageSize: 0,
      pageToken: '',
    });
    return configs.map((config) => {
      const {
        taskId: _taskId,
        tenant: _tenant,
        ...webhook
      } = TaskPushNotificationConfig.toJSON(config) as JsonObject;
      return webhook as unknown as Webhook;
    });
  }

  async removeWebhook(taskId: string, id: string): Promise<void> {
    await this.sdk.deleteTaskPushNotificationConfig({ tenant: '', taskId, id });
  }

  /** @throws {TypeError} if the agent would ignore the options */
  #createWebhookParameters({ events, order, secret }: Webhook): RequestOptions {
    const chosen = { ...(events && { events }), ...(order && { order }), ...(secret && { secret }) };
    if (Object.keys(chosen).length === 0) return {};
    if (!this.#extensions.has(webhooksExtensionUri)) {
      throw new TypeError(
        `This agent has no ${Object.keys(chosen).join(', ')} of webhooks: its card does not declare ${webhooksExtensionUri}.`,
      );
    }
    return { serviceParameters: { [webhookOptionsHeader]: JSON.stringify(chosen) } };
  }
}

function toConfig({ url, id, token, authentication }: Webhook): object {
  return { url, ...(id && { id }), ...(token && { token }), ...(authentication && { authentication }) };
}

function withSignal(signal: AbortSignal | undefined): RequestOptions {
  return signal === undefined ? {} : { signal };
}

function toTask(task: WireTask): Task {
  return WireTask.toJSON(task) as Task;
}
