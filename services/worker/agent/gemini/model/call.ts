/**
 * Calls the model once, as the body of a durable step: streams the text of the answer and collects the
 * response. A transient failure is retried in place a few times, each time with a new answer. After that the
 * task is parked, which spends no attempt and holds no worker. An abort is rethrown unchanged.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Content, GenerateContentConfig, GoogleGenAI } from '@google/genai';
import { FatalError, ParkedError, RetryableError } from '#shared/domain/errors.ts';
import type { AnswerArtifact } from '../conversation/answer-artifact.ts';
import { capRetryAfterMs, getInPlaceDelayMs, getParkDelayMs, type ModelBackoff } from './backoff.ts';
import { observeRetryAfter, type Fetch } from './client.ts';
import { StreamCutError, toModelFailure } from './failure.ts';
import type { TaskQuota } from './quota.ts';
import { ResponseBuilder, type ModelResponse } from './response.ts';

export interface GeminiModel {
  client: GoogleGenAI;
  fetch: Fetch;
  backoff: ModelBackoff;
  /** Adds prompts and answers to the spans of the calls. */
  captureContent: boolean;
}

export interface ModelRequest {
  model: string;
  contents: Content[];
  config: GenerateContentConfig;
}

export interface ModelCallParts {
  quota: TaskQuota;
  /** Undefined: the text is not streamed. */
  answer: AnswerArtifact | undefined;
  signal: AbortSignal;
}

/**
 * @throws {FatalError} if no retry can help
 * @throws {ParkedError} if the model is overloaded or out of quota for longer than the retries in place
 * @throws {RetryableError} for a failure of unknown kind
 */
export async function callModel(
  { client, fetch, backoff }: GeminiModel,
  request: ModelRequest,
  { quota, answer, signal }: ModelCallParts,
): Promise<ModelResponse> {
  let startedAt = performance.now();
  for (let attempt = 1; ; attempt += 1) {
    const admitted = await quota.acquire(request, signal);
    startedAt += admitted.waitedMs;
    let retryAfter: string | null = null;
    try {
      const observedFetch = observeRetryAfter(fetch, (header) => (retryAfter = header));
      const builder = await stream(client, request, observedFetch, answer, signal);
      const response = builder.build(Math.max(0, Math.round(performance.now() - startedAt)));
      const promptTokens = response.usage['promptTokenCount'];
      if (typeof promptTokens === 'number') admitted.correct(promptTokens);
      return response;
    } catch (error) {
      signal.throwIfAborted();
      // The stream is closed before the retry, so that no late chunk can follow the start of the new answer.
      await answer?.end();
      const failure = toModelFailure(error, { model: request.model, retryAfter });
      if (failure.kind === 'fatal') throw new FatalError(failure.message, { cause: error });
      if (failure.kind === 'unknown') throw new RetryableError(failure.message, { cause: error });
      if (failure.refused) await admitted.refused(capRetryAfterMs(failure.retryAfterMs));
      const waitMs = getInPlaceDelayMs(backoff, attempt, failure.retryAfterMs, Math.random());
      if (waitMs === undefined) {
        const until = new Date(Date.now() + getParkDelayMs(failure.retryAfterMs, Math.random()));
        throw new ParkedError(failure.message, until, { cause: error });
      }
      await sleep(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

async function stream(
  client: GoogleGenAI,
  { model, contents, config }: ModelRequest,
  fetch: Fetch,
  answer: AnswerArtifact | undefined,
  signal: AbortSignal,
): Promise<ResponseBuilder> {
  // The SDK does not end the request of a stream that is abandoned early. This controller does.
  const call = new AbortController();
  const builder = new ResponseBuilder(model);
  try {
    const events = await client.models.generateContentStream({
      model,
      contents,
      config: { ...config, abortSignal: AbortSignal.any([signal, call.signal]), httpOptions: { fetch } },
    });
    for await (const event of events) {
      const text = builder.add(event);
      if (text !== '') answer?.write(text);
    }
  } finally {
    call.abort();
  }
  if (!builder.ended) throw new StreamCutError('the stream ended without a finish reason');
  return builder;
}
