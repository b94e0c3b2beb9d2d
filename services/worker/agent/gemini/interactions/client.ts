/**
 * Calls the Interactions API through the SDK, without its retries. Errors are converted to those that model/failure.ts
 * classifies.
 */
import { ApiError, type GoogleGenAI, type Interactions } from '@google/genai';
import type { ObservedResponse } from '../model/failure.ts';

export type Interaction = Interactions.Interaction;

/** For a request that Google answers before the model works: creation in the background, get, cancel. */
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
  params: Interactions.InteractionCreateParams.InteractionCreateParamsNonStreaming,
  options: CallOptions,
): Promise<Interaction> {
  return request(options, (sdkOptions) => client.interactions.create(params, sdkOptions));
}

export async function getInteraction(
  client: GoogleGenAI,
  id: string,
  signal: AbortSignal,
): Promise<Interaction> {
  return request({ signal, prompt: true }, (options) => client.interactions.get(id, {}, options));
}

/** A call that has ended stays as it is. */
export async function cancelInteraction(client: GoogleGenAI, id: string, signal: AbortSignal): Promise<void> {
  await request({ signal, prompt: true }, (options) => client.interactions.cancel(id, {}, options));
}

async function request<T>(
  { signal, prompt, observe }: CallOptions,
  send: (options: { retries: { strategy: 'none' }; fetch_options: { signal: AbortSignal } }) => Promise<T>,
): Promise<T> {
  const bounded = prompt ? AbortSignal.any([signal, AbortSignal.timeout(promptMs)]) : signal;
  try {
    return await send({ retries: { strategy: 'none' }, fetch_options: { signal: bounded } });
  } catch (error) {
    signal.throwIfAborted();
    throw convertError(error, observe);
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
