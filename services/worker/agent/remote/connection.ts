/**
 * A client of one other agent, over A2A 1.0 or 0.3, by JSON-RPC or HTTP+JSON as its card says. It is shared by all turns of
 * this process. The card is read again after five minutes; while it cannot be read, the last one is used.
 */
import { CancelTaskRequest, GetTaskRequest, SendMessageRequest, type AgentCard } from '@a2a-js/sdk';
import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
  type Client,
} from '@a2a-js/sdk/client';
import { A2AError } from '@a2a-js/sdk/errors';
import { createAgentHeaders, type RemoteAgentDefinition } from '#shared/agent/remote-agents.ts';
import { ParkedError, RetryableError } from '#shared/domain/errors.ts';
import { errorMessage } from '#shared/runtime/log.ts';
import { CredentialsError } from '../errors.ts';
import type { Fetch } from '../fetch.ts';
import {
  RefusedError,
  type RemoteAgent,
  type RemoteCard,
  type RemoteMessage,
  type RemoteTask,
  type Sent,
} from './agent.ts';
import { createAgentFetch, toUnavailable } from './fetch.ts';
import { findTask } from './find.ts';
import { isId, readSent, readTask } from './task.ts';

const cardMs = 5 * 60_000;
/** How long a turn waits for the card of an agent that it may call. */
const describeMs = 5_000;
const maxErrorChars = 2_000;
const legacyCompat = { enabled: true };

interface Open {
  client: Client;
  card: AgentCard;
  readAt: number;
}

export class RemoteConnection implements RemoteAgent {
  readonly #name: string;
  readonly #cardUrl: URL;
  /** The only one that gets credentials and messages. */
  readonly #origin: string;
  readonly #fetch: Fetch;
  #open: Open | undefined;
  #opening: Promise<Open> | undefined;

  constructor(
    name: string,
    definition: RemoteAgentDefinition,
    getSecret: (name: string) => string | undefined,
  ) {
    const { url, card } = definition;
    this.#name = name;
    this.#cardUrl = new URL(card ?? `${url?.replace(/\/+$/, '')}/.well-known/agent-card.json`);
    this.#origin = url === undefined ? this.#cardUrl.origin : new URL(url).origin;
    this.#fetch = createAgentFetch({
      name,
      origin: this.#origin,
      getHeaders: () => {
        const missing: string[] = [];
        const headers = createAgentHeaders(definition, getSecret, (secret) => missing.push(secret));
        if (missing.length === 0) return headers;
        throw new CredentialsError(
          `The agent "${name}" needs credentials that this agent does not have: ${missing.join(', ')}. When its operator has set them, send any message to continue.`,
        );
      },
    });
  }

  async describe(): Promise<RemoteCard | undefined> {
    try {
      const { card } = await this.#connect(AbortSignal.timeout(describeMs));
      const { name, description, skills } = card;
      return { name, description, skills };
    } catch {
      return undefined;
    }
  }

  async send(message: RemoteMessage, signal: AbortSignal): Promise<Sent> {
    return this.#request(signal, async ({ client, card }) => {
      const notify = offersNotifications(card) ? message.notify : undefined;
      const send = async (notified: RemoteMessage['notify']): Promise<Sent> => {
        const request = SendMessageRequest.fromJSON(toRequest({ ...message, notify: notified }));
        return readSent(this.#name, await client.sendMessage(request, { signal }), notified !== undefined);
      };
      if (notify === undefined) return send(undefined);
      try {
        return await send(notify);
      } catch (error) {
        // It may accept no address like ours. A refusal for another reason is repeated.
        if (!(error instanceof A2AError) || !refusesNotifications.has(error.reason)) throw error;
        return send(undefined);
      }
    });
  }

  async find(
    message: RemoteMessage,
    signal: AbortSignal,
  ): Promise<{ taskId: string; notifies: boolean } | undefined> {
    try {
      return await this.#request(signal, async ({ client, card }) => {
        const taskId = await findTask(client, message, signal);
        if (taskId === undefined || !isId(taskId)) return undefined;
        return { taskId, notifies: message.notify !== undefined && offersNotifications(card) };
      });
    } catch (error) {
      // It lists no tasks, as agents of A2A 0.3, or not to this caller.
      if (error instanceof RefusedError || error instanceof CredentialsError) return undefined;
      throw error;
    }
  }

  async get(taskId: string, signal: AbortSignal): Promise<RemoteTask | undefined> {
    return this.#request(signal, async ({ client }) => {
      try {
        const request = GetTaskRequest.fromJSON({ id: taskId, historyLength: 0 });
        return readTask(this.#name, await client.getTask(request, { signal }));
      } catch (error) {
        if (!(error instanceof A2AError)) throw error;
        if (error.reason === 'TASK_NOT_FOUND') return undefined;
        // The task may have run for days, so a fault that may pass does not end the call.
        throw error.reason === 'INTERNAL_ERROR' ? toUnavailable(this.#name, error) : error;
      }
    });
  }

  async cancel(taskId: string, signal: AbortSignal): Promise<void> {
    await this.#request(signal, async ({ client }) => {
      try {
        await client.cancelTask(CancelTaskRequest.fromJSON({ id: taskId }), { signal });
      } catch (error) {
        if (!(error instanceof A2AError)) throw error;
      }
    });
  }

  async #request<T>(signal: AbortSignal, run: (open: Open) => Promise<T>): Promise<T> {
    try {
      return await run(await this.#connect(signal));
    } catch (error) {
      signal.throwIfAborted();
      throw this.#toFailure(error);
    }
  }

  async #connect(signal: AbortSignal): Promise<Open> {
    const open = this.#open;
    if (open !== undefined && performance.now() - open.readAt < cardMs) return open;
    this.#opening ??= this.#readCard().finally(() => (this.#opening = undefined));
    const opening = this.#opening;
    // The read of the card is shared, so the signal of one turn does not end it.
    const aborted = new Promise<never>((_resolve, reject) => {
      if (signal.aborted) reject(signal.reason as Error);
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
    try {
      return await Promise.race([opening, aborted]);
    } catch (error) {
      if (open === undefined || signal.aborted) throw error;
      return open;
    }
  }

  async #readCard(): Promise<Open> {
    const response = await this.#fetch(this.#cardUrl, { headers: { accept: 'application/json' } });
    if (!response.ok) {
      throw new RefusedError(
        `The card of the agent "${this.#name}" cannot be read: ${this.#cardUrl.href} answers with status ${response.status}.`,
      );
    }
    const fetchImpl = this.#fetch;
    const cardResolver = new DefaultAgentCardResolver({ fetchImpl, legacyCompat });
    const card = this.#keepOwnAddresses(cardResolver.normalizeAgentCard(await response.json()));
    const client = await new ClientFactory({
      transports: [
        new JsonRpcTransportFactory({ fetchImpl, legacyCompat }),
        new RestTransportFactory({ fetchImpl, legacyCompat }),
      ],
      cardResolver,
    }).createFromAgentCard(card);
    return (this.#open = { client, card, readAt: performance.now() });
  }

  /** A card could send messages and credentials anywhere. */
  #keepOwnAddresses(card: AgentCard): AgentCard {
    const supportedInterfaces = card.supportedInterfaces.filter(
      ({ url }) => URL.parse(url)?.origin === this.#origin,
    );
    if (supportedInterfaces.length > 0) return { ...card, supportedInterfaces };
    const named = card.supportedInterfaces.map(({ url }) => URL.parse(url)?.origin ?? url);
    throw new RefusedError(
      `The card of the agent "${this.#name}" has no address at ${this.#origin}, only at ${[...new Set(named)].join(', ') || 'none'}: its operator must set the URL of the agent.`,
    );
  }

  #toFailure(error: unknown): Error {
    const isKnown = [RefusedError, RetryableError, ParkedError, CredentialsError].some(
      (kind) => error instanceof kind,
    );
    if (isKnown) return error as Error;
    const text = errorMessage(error).slice(0, maxErrorChars);
    const problem =
      error instanceof A2AError
        ? `refuses the request: ${text}`
        : `gives an answer that is not valid: ${text}`;
    return new RefusedError(`The agent "${this.#name}" ${problem}`, { cause: error });
  }
}

function offersNotifications({ capabilities }: AgentCard): boolean {
  return capabilities?.pushNotifications === true;
}

const refusesNotifications = new Set([
  'PUSH_NOTIFICATION_NOT_SUPPORTED',
  'UNSUPPORTED_OPERATION',
  'INVALID_PARAMS',
]);

function toRequest({ messageId, parts, taskId, contextId, metadata, notify }: RemoteMessage): object {
  return {
    message: {
      messageId,
      role: 'ROLE_USER',
      parts,
      ...(taskId !== undefined && { taskId }),
      ...(contextId !== undefined && { contextId }),
    },
    configuration: {
      returnImmediately: true,
      historyLength: 0,
      ...(notify && {
        taskPushNotificationConfig: {
          url: notify.url,
          token: notify.secret,
          authentication: { scheme: 'Bearer', credentials: notify.secret },
        },
      }),
    },
    metadata,
  };
}
