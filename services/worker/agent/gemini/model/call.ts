/**
 * Calls the model once, as the body of a durable step: streams the text of the answer and collects the
 * response. A failure that may pass is retried in place a few times, each time with a new answer. After that
 * the failure is the result, and its task is parked, which spends no attempt and holds no worker. An abort is
 * rethrown unchanged.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Content, GenerateContentConfig, GenerateContentResponse, GoogleGenAI } from '@google/genai';
import { FatalError, ParkedError, RetryableError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import type { Fetch } from '../../fetch.ts';
import type { PartnerWaits } from '../../partner-waits.ts';
import type { AnswerArtifact } from '../conversation/answer-artifact.ts';
import { capRetryAfterMs, getInPlaceDelayMs, getParkDelayMs, type ModelBackoff } from './backoff.ts';
import { observeResponses } from './client.ts';
import { addCounts, hasTokens } from './cost.ts';
import { StreamCutError, toModelFailure, type ModelFailure, type ObservedResponse } from './failure.ts';
import type { AdmittedCall, TaskQuota } from './quota.ts';
import { ResponseBuilder, type ModelResponse } from './response.ts';
import type { FailedCall, Stall } from './stall.ts';
import { databaseNow } from '#shared/runtime/clock.ts';

export interface GeminiModel {
  client: GoogleGenAI;
  fetch: Fetch;
  backoff: ModelBackoff;
  /** Buckets of Cloud Storage from which it may read the files of callers. */
  buckets: readonly string[];
  /** Webhooks may be reported to addresses without TLS: the API is not Google's. */
  plainWebhooks: boolean;
  /** Webhooks are registered for the project, so that calls name no address. */
  projectWebhooks: boolean;
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
  partnerWaits: PartnerWaits;
  /** Undefined: the text is not streamed. */
  answer: AnswerArtifact | undefined;
  signal: AbortSignal;
  /** The failed calls before this one. */
  stall: Stall;
  /** The credentials have worked for this task, so a refusal may pass. */
  trusted: boolean;
}

/** @throws as callWithRetries */
export async function callModel(
  model: GeminiModel,
  request: ModelRequest,
  parts: ModelCallParts,
): Promise<ModelResponse | FailedCall> {
  const { answer, signal } = parts;
  return callWithRetries(model, request, parts, (observe, heard) => {
    const builder = new ResponseBuilder(request.model, request.config.serviceTier);
    const observedFetch = observeResponses(model.fetch, (response) => {
      observe(response);
      if (isUsable(response)) heard();
    });
    return {
      usage: () => builder.usage,
      run: async () => {
        await stream(model.client, request, observedFetch, signal, (event) => {
          heard();
          const text = builder.add(event);
          if (text !== '') answer?.write(text);
        });
        if (!builder.ended) throw new StreamCutError('the stream ended without a finish reason');
        return (ms, wasted) => builder.build(ms, wasted);
      },
    };
  });
}

/** One call of the model. */
export interface Attempt<T> {
  /** Token counts so far, even if the call fails. */
  usage(): JsonObject;
  /**
   * @returns builds the result
   * @throws {Error} as model/failure.ts classifies it
   */
  run(): Promise<(ms: number, wasted: JsonObject) => T>;
}

/** Prepares a call. `observe` takes the HTTP response of a failure; `heard` is called for each sign of the model. */
type StartAttempt<T> = (observe: (response: ObservedResponse) => void, heard: () => void) => Attempt<T>;

/**
 * @throws {FatalError} if no retry can help
 * @throws {ParkedError} if the quota has no room, or if an overload continues that is already recorded
 * @throws {RetryableError} for a failure of unknown kind
 */
export async function callWithRetries<T>(
  { backoff }: Pick<GeminiModel, 'backoff'>,
  request: ModelRequest,
  parts: ModelCallParts,
  start: StartAttempt<T>,
): Promise<T | FailedCall> {
  const wait = { partner: `the model ${request.model}`, since: parts.stall.since };
  return parts.partnerWaits.during(wait, (heard) => retryInPlace(backoff, request, parts, start, heard));
}

async function retryInPlace<T>(
  backoff: ModelBackoff,
  request: ModelRequest,
  { quota, answer, signal, stall, trusted }: ModelCallParts,
  start: StartAttempt<T>,
  heard: () => void,
): Promise<T | FailedCall> {
  let startedAt = performance.now();
  const getMs = (): number => Math.max(0, Math.round(performance.now() - startedAt));
  let wasted = {};
  let { refusedAt } = stall;
  const inPlace = stall.inOutage ? { ...backoff, calls: 1 } : backoff;
  const toFailedCall = (failed: Omit<FailedCall['failed'], 'at'>): FailedCall => ({
    failed: { ...failed, at: new Date(databaseNow()).toISOString() },
    usage: wasted,
    ms: getMs(),
  });
  for (let attempt = 1; ; attempt += 1) {
    let admitted: AdmittedCall;
    try {
      admitted = await quota.acquire(request, signal);
    } catch (error) {
      if (!(error instanceof ParkedError) || !hasTokens(wasted)) throw error;
      const parkMs = Math.max(0, error.until.getTime() - databaseNow());
      return toFailedCall({ kind: 'overload', message: error.message, detail: '', parkMs });
    }
    startedAt += admitted.waitedMs;
    if (admitted.waitedMs > 0) heard();
    let observed: ObservedResponse = { status: null, retryAfter: null };
    const attempted = start((response) => (observed = response), heard);
    try {
      const build = await attempted.run();
      admitted.answered(attempted.usage());
      return build(getMs(), wasted);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof FatalError) throw error;
      // The stream is closed before the retry, so that no late chunk can follow the start of the new answer.
      await answer?.end();
      wasted = addCounts(wasted, attempted.usage());
      const failure = toModelFailure(error, { model: request.model, ...observed });
      const { message, detail, retryAfterMs } = failure;
      const kind = toKind(failure, trusted);
      if (kind === 'fatal') throw new FatalError(message, { cause: error });
      if (kind === 'unknown') throw new RetryableError(message, { cause: error });
      if (kind === 'overload') {
        const othersFit = await admitted.refused(capRetryAfterMs(retryAfterMs), refusedAt);
        refusedAt = new Date(databaseNow());
        if (othersFit && observed.status === 429) {
          const parkMs = getParkDelayMs(retryAfterMs, Math.random());
          return toFailedCall({ kind: 'oversized', message, detail, parkMs });
        }
      }
      const waitMs =
        failure.kind === 'credentials'
          ? undefined
          : getInPlaceDelayMs(inPlace, attempt, retryAfterMs, Math.random());
      if (waitMs === undefined) {
        const parkMs =
          kind === 'outage'
            ? stall.getOutageParkMs(databaseNow(), Math.random())
            : getParkDelayMs(retryAfterMs, Math.random());
        if (kind === 'outage' || !stall.waiting || hasTokens(wasted)) {
          return toFailedCall({ kind, message, detail, parkMs });
        }
        throw new ParkedError(message, new Date(databaseNow() + parkMs), { cause: error });
      }
      await sleep(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

function toKind({ kind }: ModelFailure, trusted: boolean): Exclude<ModelFailure['kind'], 'credentials'> {
  if (kind !== 'credentials') return kind;
  return trusted ? 'outage' : 'fatal';
}

async function stream(
  client: GoogleGenAI,
  { model, contents, config }: ModelRequest,
  fetch: Fetch,
  signal: AbortSignal,
  take: (event: GenerateContentResponse) => void,
): Promise<void> {
  // The SDK does not end the request of a stream that is abandoned early. This controller does.
  const call = new AbortController();
  try {
    const events = await client.models.generateContentStream({
      model,
      contents,
      config: { ...config, abortSignal: AbortSignal.any([signal, call.signal]), httpOptions: { fetch } },
    });
    for await (const event of events) take(event);
  } finally {
    call.abort();
  }
}

function isUsable({ status }: ObservedResponse): boolean {
  return status !== null && status < 400;
}
