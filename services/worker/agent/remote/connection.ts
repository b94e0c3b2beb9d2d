/**
 * A client of one other agent, over A2A 1.0 or 0.3, by JSON-RPC, HTTP+JSON or gRPC as its card says. It is shared by all
 * turns of this process. The card is read again after five minutes, and after a request that failed, because the agent may
 * have moved. While the card cannot be read, the last one is used.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  AgentCard,
  CancelTaskRequest,
  GetTaskRequest,
  SendMessageRequest,
  SubscribeToTaskRequest,
} from '@a2a-js/sdk';
import type { Client, RequestOptions } from '@a2a-js/sdk/client';
import { A2AError } from '@a2a-js/sdk/errors';
import { createAgentHeaders, type RemoteAgentDefinition } from '#shared/agent/remote-agents.ts';
import { RetryableError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import type { GetIdentityToken } from '#shared/gcp/identity-token.ts';
import { CredentialsError } from '../errors.ts';
import type { Fetch } from '../fetch.ts';
import {
  BusyError,
  RefusedError,
  type RemoteAgent,
  type RemoteCard,
  type RemoteEvent,
  type RemoteMessage,
  type RemoteTask,
  type Sent,
} from './agent.ts';
import { isTaskNotFound, isTimeout, toFailure } from './failure.ts';
import { createAgentFetch, toUnavailable, type AgentTimes } from './fetch.ts';
import { findTask } from './find.ts';
import { isId } from './ids.ts';
import { openClient, readCard, type AgentAddress } from './open-client.ts';
import { offersNotifications, refusesNotifications, toRequest } from './request.ts';
import { readEvent, readSent, readTask } from './task.ts';

const cardMs = 5 * 60_000;
/** After this, a card that could not be read again is tried again. */
const cardRetryMs = 60_000;
/** How long a turn waits for the card of an agent that it may call. */
const describeMs = 5_000;

interface Open {
  client: Client;
  card: AgentCard;
  /** With all addresses. */
  whole: AgentCard;
  readAt: number;
}

export interface AgentCredentials {
  getSecret: (name: string) => string | undefined;
  getIdentityToken: GetIdentityToken;
}

export class RemoteConnection implements RemoteAgent {
  readonly #name: string;
  readonly #address: AgentAddress;
  readonly #getHeaders: () => Promise<Record<string, string>>;
  readonly #getMs: number;
  #open: Open | undefined;
  #opening: Promise<Open> | undefined;

  constructor(
    name: string,
    definition: RemoteAgentDefinition,
    credentials: AgentCredentials,
    { fetch, bodyMs, getMs }: Pick<AgentTimes, 'bodyMs' | 'getMs'> & { fetch: Fetch },
  ) {
    const { url, card } = definition;
    const cardUrl = new URL(card ?? `${url?.replace(/\/+$/, '')}/.well-known/agent-card.json`);
    const origin = url === undefined ? cardUrl.origin : new URL(url).origin;
    this.#name = name;
    this.#getHeaders = () => createHeaders(name, definition, origin, credentials);
    const agentFetch = createAgentFetch({ fetch, bodyMs, name, origin, getHeaders: this.#getHeaders });
    this.#address = { name, cardUrl, origin, fetch: agentFetch };
    this.#getMs = getMs;
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

  async readCard(signal: AbortSignal): Promise<JsonObject> {
    return this.#request(signal, async ({ whole }) => AgentCard.toJSON(whole) as JsonObject);
  }

  async send(message: RemoteMessage, signal: AbortSignal): Promise<Sent> {
    return this.#request(signal, async ({ client, card }, options) => {
      const notify = offersNotifications(card) ? message.notify : undefined;
      const send = async (notified: RemoteMessage['notify']): Promise<Sent> => {
        const request = SendMessageRequest.fromJSON(toRequest({ ...message, notify: notified }));
        const sent = await client.sendMessage(request, options);
        return readSent(this.#name, sent, { notifies: notified !== undefined, asked: message.taskId });
      };
      try {
        if (notify === undefined) return await send(undefined);
        try {
          return await send(notify);
        } catch (error) {
          // It may accept no address like ours. A refusal for another reason is repeated.
          if (!(error instanceof A2AError) || !refusesNotifications.has(error.reason)) throw error;
          return await send(undefined);
        }
      } catch (error) {
        if (message.taskId === undefined || !isTaskNotFound(error)) throw error;
        throw new RefusedError(`The agent "${this.#name}" no longer has the task ${message.taskId}.`, {
          cause: error,
        });
      }
    });
  }

  async find(
    message: RemoteMessage,
    signal: AbortSignal,
  ): Promise<{ taskId: string; notifies: boolean } | undefined> {
    try {
      return await this.#request(signal, async ({ client, card }, options) => {
        const taskId = await findTask(client, message, options);
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
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(this.#getMs)]);
    return this.#request(bounded, async ({ client }, options) => {
      try {
        const request = GetTaskRequest.fromJSON({ id: taskId, historyLength: 0 });
        return readTask(this.#name, await client.getTask(request, options), taskId);
      } catch (error) {
        if (isTaskNotFound(error)) return undefined;
        if (!(error instanceof A2AError) || error.reason !== 'INTERNAL_ERROR') throw error;
        // The task may have run for days, so a fault that may pass does not end the call.
        const failure = toFailure(this.#name, error);
        throw failure instanceof RefusedError ? toUnavailable(this.#name, error) : failure;
      }
    });
  }

  async follow(taskId: string, signal: AbortSignal): Promise<AsyncIterable<RemoteEvent> | undefined> {
    return this.#request(signal, async ({ client, card }, options) => {
      if (card.capabilities?.streaming !== true) return undefined;
      const events = client.resubscribeTask(SubscribeToTaskRequest.fromJSON({ id: taskId }), options);
      const name = this.#name;
      return (async function* read() {
        let isFirst = true;
        for await (const wire of events) {
          const event = readEvent(name, wire, taskId);
          // Without the task, events could be missing (A2A 1.0, section 3.1.6).
          if (isFirst && !('task' in event))
            throw new RefusedError(`The stream of the agent "${name}" does not start with the task.`);
          isFirst = false;
          yield event;
        }
      })();
    });
  }

  async cancel(taskId: string, signal: AbortSignal): Promise<void> {
    await this.#request(signal, async ({ client }, options) => {
      try {
        await client.cancelTask(CancelTaskRequest.fromJSON({ id: taskId }), options);
      } catch (error) {
        if (!(error instanceof A2AError)) throw error;
        const failure = toFailure(this.#name, error);
        if (!(failure instanceof RefusedError)) throw failure;
      }
    });
  }

  async #request<T>(
    signal: AbortSignal,
    run: (open: Open, options: RequestOptions) => Promise<T>,
  ): Promise<T> {
    const startedAt = performance.now();
    try {
      const open = await this.#connect(signal);
      try {
        return await this.#run(open, run, signal);
      } catch (error) {
        const moved = await this.#findMoved(open, startedAt, toFailure(this.#name, error), signal);
        if (moved === undefined) throw error;
        return await this.#run(moved, run, signal);
      }
    } catch (error) {
      if (!signal.aborted) throw toFailure(this.#name, error);
      const { reason } = signal as { reason: unknown };
      throw isTimeout(reason) ? toUnavailable(this.#name, reason) : reason;
    }
  }

  async #run<T>(
    open: Open,
    run: (open: Open, options: RequestOptions) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    // Over HTTP, the fetch adds the headers.
    const isGrpc = open.client.transport.protocolName === 'GRPC';
    const serviceParameters = isGrpc ? await this.#getHeaders() : undefined;
    return run(open, { signal, ...(serviceParameters && { serviceParameters }) });
  }

  /**
   * Returns the agent at another address, if its card names one now. The next request reads the card again if the agent is
   * unavailable; if something else answers in its place, this one does.
   */
  async #findMoved(
    open: Open,
    startedAt: number,
    failure: Error,
    signal: AbortSignal,
  ): Promise<Open | undefined> {
    if (signal.aborted || open.readAt >= startedAt) return undefined;
    const isAway = failure instanceof RetryableError && !(failure instanceof BusyError);
    const isElsewhere = failure instanceof RefusedError && !failure.byAgent;
    if (isAway || isElsewhere) open.readAt = Number.NEGATIVE_INFINITY;
    if (!isElsewhere) return undefined;
    const next = await this.#connect(signal);
    return isDeepStrictEqual(next.card.supportedInterfaces, open.card.supportedInterfaces) ? undefined : next;
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
      open.readAt = performance.now() - cardMs + cardRetryMs;
      return open;
    }
  }

  async #readCard(): Promise<Open> {
    const whole = await readCard(this.#address);
    const { client, card } = await openClient(this.#address, whole);
    return (this.#open = { client, card, whole, readAt: performance.now() });
  }
}

async function createHeaders(
  name: string,
  definition: RemoteAgentDefinition,
  origin: string,
  { getSecret, getIdentityToken }: AgentCredentials,
): Promise<Record<string, string>> {
  const missing: string[] = [];
  const headers = createAgentHeaders(definition, getSecret, (secret) => missing.push(secret));
  if (missing.length > 0) {
    throw new CredentialsError(
      `The agent "${name}" needs credentials that this agent does not have: ${missing.join(', ')}. When its operator has set them, send any message to continue.`,
    );
  }
  const { googleIdentity } = definition;
  if (googleIdentity === undefined) return headers;
  const audience = googleIdentity === true ? origin : googleIdentity;
  try {
    return { ...headers, authorization: await getIdentityToken(audience) };
  } catch (error) {
    throw toUnavailable(name, error);
  }
}
