/**
 * Calls the Interactions API through the SDK, without its retries. Errors are converted to those that model/failure.ts
 * classifies.
 */
import {
  ApiError,
  type AutomaticContinuationOption,
  type GoogleGenAI,
  type Interactions,
} from '@google/genai';
import { StreamCutError, type ObservedResponse } from '../model/failure.ts';
import type { InteractionParams } from './request.ts';

export type Interaction = Interactions.Interaction;
export type StreamEvent = Interactions.InteractionSSEEvent;
/** An interaction as its stream shows it. */
export type StreamedInteraction = Interactions.InteractionCreatedEvent['interaction'];

/** For a request that Google answers before the model works: creation in the background, get, cancel, delete. */
const promptMs = 60_000;

/** The options of a call that the caller bounds. */
interface CallOptions {
  signal: AbortSignal;
  /** False: the answer comes when the model has ended. */
  prompt: boolean;
  observe?: (response: ObservedResponse) => void;
}

/** @throws {ApiError | Error} as model/failure.ts expects them */
export async function createInteraction(
  client: GoogleGenAI,
  params: InteractionParams,
  options: CallOptions,
): Promise<Interaction> {
  return withLabelsIfTaken(client, params, (sent) =>
    request(options, (sdkOptions) => client.interactions.create(withOwnHops(sent), sdkOptions)),
  );
}

/** Clients whose API has refused labels. */
const withoutLabels = new WeakSet<GoogleGenAI>();

/**
 * Sends a request again without its labels if the API refuses them, and leaves them out from then on. Google's reference lists
 * them, but the Gemini API has answered 400, "not available on the Gemini API but it is available on the Gemini Enterprise Agent
 * Platform" (https://github.com/evansenter/genai-rs, tests against the API on 2026-08-08).
 */
async function withLabelsIfTaken<T>(
  client: GoogleGenAI,
  params: InteractionParams,
  send: (params: InteractionParams) => Promise<T>,
): Promise<T> {
  const { labels: _, ...unlabeled } = params;
  if (withoutLabels.has(client)) return send(unlabeled);
  try {
    return await send(params);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 400 && /\blabels?\b/.test(error.message)))
      throw error;
    withoutLabels.add(client);
    return send(unlabeled);
  }
}

/** The calls of a reply that Google cuts into several are recorded one by one. In the background, Google continues itself. */
function withOwnHops(params: InteractionParams): InteractionParams & AutomaticContinuationOption {
  return params.background === true ? params : { ...params, automatic_continuation: false };
}

/** The events of a call, as they come. */
export interface OpenedStream {
  events: AsyncIterable<StreamEvent>;
  /** Ends the connection. The call runs on. */
  close(): void;
}

/**
 * Creates an interaction whose events are read at once.
 *
 * @returns the interaction without its reply, and the events after its creation
 */
export async function openNewInteraction(
  client: GoogleGenAI,
  params: InteractionParams,
  options: CallOptions,
): Promise<{ interaction: StreamedInteraction; opened: OpenedStream }> {
  const opened = await withLabelsIfTaken(client, params, (sent) =>
    openStream(options, (sdkOptions) =>
      client.interactions.create({ ...withOwnHops(sent), stream: true }, sdkOptions),
    ),
  );
  const events = opened.events[Symbol.asyncIterator]();
  for (;;) {
    const { done, value } = await events.next();
    if (done === true) throw new StreamCutError('the stream ended before it named its interaction');
    if (value.event_type !== 'interaction.created') continue;
    const rest = { [Symbol.asyncIterator]: () => events };
    return { interaction: value.interaction, opened: { ...opened, events: rest } };
  }
}

/** @param after the id of the last event that is known; undefined: all events are returned */
export async function streamInteraction(
  client: GoogleGenAI,
  id: string,
  after: string | undefined,
  signal: AbortSignal,
): Promise<OpenedStream> {
  const cursor = after === undefined ? {} : { last_event_id: after };
  return openStream({ signal, prompt: false }, (options) =>
    client.interactions.get(id, { stream: true, ...cursor }, options),
  );
}

async function openStream(
  options: CallOptions,
  send: (sdkOptions: SdkOptions) => Promise<AsyncIterable<StreamEvent>>,
): Promise<OpenedStream> {
  const connection = new AbortController();
  const signal = AbortSignal.any([options.signal, connection.signal]);
  const events = await request({ ...options, signal, prompt: false }, send);
  return { events: convertErrors(events), close: () => connection.abort() };
}

export async function getInteraction(
  client: GoogleGenAI,
  id: string,
  signal: AbortSignal,
): Promise<Interaction> {
  return request({ signal, prompt: true }, (options) => client.interactions.get(id, {}, options));
}

/** Returns the call as it is then: one that has ended stays as it is. */
export async function cancelInteraction(
  client: GoogleGenAI,
  id: string,
  signal: AbortSignal,
): Promise<Interaction> {
  return request({ signal, prompt: true }, (options) => client.interactions.cancel(id, {}, options));
}

/** @throws {ApiError} 404 if Google does not have it */
export async function deleteInteraction(client: GoogleGenAI, id: string, signal: AbortSignal): Promise<void> {
  await request({ signal, prompt: true }, (options) => client.interactions.delete(id, {}, options));
}

type SdkOptions = { retries: { strategy: 'none' }; fetch_options: { signal: AbortSignal } };

async function request<T>(
  { signal, prompt, observe }: CallOptions,
  send: (options: SdkOptions) => Promise<T>,
): Promise<T> {
  const bounded = prompt ? AbortSignal.any([signal, AbortSignal.timeout(promptMs)]) : signal;
  try {
    return await send({ retries: { strategy: 'none' }, fetch_options: { signal: bounded } });
  } catch (error) {
    signal.throwIfAborted();
    throw convertError(error, observe);
  }
}

async function* convertErrors(events: AsyncIterable<StreamEvent>): AsyncGenerator<StreamEvent> {
  try {
    yield* events;
  } catch (error) {
    throw convertError(error);
  }
}

/** The SDK's errors of this API have their status in a field; without a response, their causes show why. */
function convertError(error: unknown, observe?: (response: ObservedResponse) => void): unknown {
  if (!(error instanceof Error)) return error;
  const { status, headers, error: body, cause } = error as SdkError;
  if (typeof status === 'number') {
    observe?.({ status, retryAfter: headers?.get('retry-after') ?? null });
    const message = JSON.stringify({ error: (body as { error?: unknown } | undefined)?.error });
    return new ApiError({ status, message });
  }
  return error.name === 'APIConnectionError' ? new TypeError('fetch failed', { cause }) : error;
}

type SdkError = Error & { status?: unknown; headers?: Headers; error?: unknown };
