/**
 * One call of the model, as the body of a durable step: streams the answer's text as it comes and gathers the record.
 * What fails for now is called again a few times in place, each time with the answer begun anew; then the task is
 * parked (no attempt is spent and no worker held). An abort is passed on as it is.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Content, GenerateContentConfig, GoogleGenAI } from '@google/genai';
import { FatalError, ParkedError, RetryableError } from '#shared/domain/errors.ts';
import type { Answer } from '../conversation/answer.ts';
import { parkFor, patienceFor, waitsInPlace } from './backoff.ts';
import type { Backoff } from './backoff.ts';
import { noting } from './client.ts';
import type { Fetch } from './client.ts';
import { toFailure, StreamCutError } from './failure.ts';
import type { Quota } from './quota.ts';
import { RecordBuilder } from './response.ts';
import type { ModelResponse } from './response.ts';

export interface Model {
  client: GoogleGenAI;
  fetch: Fetch;
  backoff: Backoff;
  /** What is said goes into the spans of the calls. */
  captureContent: boolean;
}

export interface ModelRequest {
  model: string;
  contents: Content[];
  config: GenerateContentConfig;
}

export interface ModelCallParts {
  quota: Quota;
  /** Undefined: the text is not streamed. */
  answer: Answer | undefined;
  signal: AbortSignal;
}

export async function callModel(
  { client, fetch, backoff }: Model,
  request: ModelRequest,
  { quota, answer, signal }: ModelCallParts,
): Promise<ModelResponse> {
  let started = performance.now();
  for (let made = 1; ; made += 1) {
    const admitted = await quota.admit(request, signal);
    started += admitted.waitedMs;
    let retryAfter: string | null = null;
    try {
      const observed = noting(fetch, (header) => (retryAfter = header));
      const record = await stream(client, request, observed, answer, signal);
      const built = record.build(Math.max(0, Math.round(performance.now() - started)));
      if (typeof built.usage['promptTokenCount'] === 'number')
        admitted.settle(built.usage['promptTokenCount']);
      return built;
    } catch (error) {
      signal.throwIfAborted();
      // What came of the answer is stored before it begins anew, so that no late piece can follow the new beginning.
      await answer?.end();
      const failure = toFailure(error, { model: request.model, retryAfter });
      if (failure.kind === 'fatal') throw new FatalError(failure.message, { cause: error });
      if (failure.kind === 'unknown') throw new RetryableError(failure.message, { cause: error });
      if (failure.refused) await admitted.refused(patienceFor(failure.hintMs));
      const wait = waitsInPlace(backoff, made, failure.hintMs, Math.random());
      if (wait === undefined) {
        const until = new Date(Date.now() + parkFor(failure.hintMs, Math.random()));
        throw new ParkedError(failure.message, until, { cause: error });
      }
      await sleep(wait, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

async function stream(
  client: GoogleGenAI,
  { model, contents, config }: ModelRequest,
  fetch: Fetch,
  answer: Answer | undefined,
  signal: AbortSignal,
): Promise<RecordBuilder> {
  // The SDK lets go of a stream that is left early without ending its request: this does.
  const call = new AbortController();
  const record = new RecordBuilder(model);
  try {
    const events = await client.models.generateContentStream({
      model,
      contents,
      config: { ...config, abortSignal: AbortSignal.any([signal, call.signal]), httpOptions: { fetch } },
    });
    for await (const event of events) {
      const text = record.add(event);
      if (text !== '') answer?.write(text);
    }
  } finally {
    call.abort();
  }
  if (!record.ended) throw new StreamCutError('The stream ended before the model did.');
  return record;
}
