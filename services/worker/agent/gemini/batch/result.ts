/** The result of a call in a batch, as it is stored, and as the response of a model call. Pure. */
import {
  JobState,
  type ApiError,
  type BatchJob,
  type GenerateContentResponse,
  type InlinedResponse,
  type JobError,
} from '@google/genai';
import { FatalError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { isFatalCode } from '../model/failure.ts';
import { ResponseBuilder, type ModelResponse } from '../model/response.ts';
import type { FailedCall, Stall } from '../model/stall.ts';

/** The name under which the usage of a batch is priced. */
const tier = 'batch';
const maxMessageChars = 500;

export type CallResult =
  | { response: GenerateContentResponse }
  | { error: Pick<JobError, 'code' | 'message'> };

/**
 * Returns the result of each call of a batch that has ended. Google keeps the order of the requests, and their keys. A call
 * whose line is malformed or missing has failed, alone.
 */
export function getResults(job: BatchJob, ids: readonly string[]): { id: string; result: CallResult }[] {
  const byKey = new Map(getLines(job).map((line) => [getKey(line), line]));
  return ids.map((id) => {
    const { response, error } = byKey.get(id) ?? {};
    if (isObject(response)) return { id, result: { response: withoutMalformed(response) } };
    return { id, result: { error: toError(error ?? getBatchError(job)) } };
  });
}

/** Returns how many lines of the results of a batch belong to no call. */
export function countLinesWithoutKey(job: BatchJob): number {
  return getLines(job).filter((line) => getKey(line) === undefined).length;
}

/** The SDK checks no types. */
function getLines({ dest }: BatchJob): (InlinedResponse | null)[] {
  const lines: unknown = dest?.inlinedResponses;
  return Array.isArray(lines) ? lines : [];
}

function getKey(line: InlinedResponse | null): string | undefined {
  const key: unknown = line?.metadata?.['key'];
  return typeof key === 'string' ? key : undefined;
}

/** Without its content, a response counts as incomplete, and its usage is kept. */
function withoutMalformed(response: GenerateContentResponse): GenerateContentResponse {
  const parts: unknown = response.candidates?.[0]?.content?.parts ?? [];
  if (Array.isArray(parts) && parts.every(isPart)) return response;
  const { usageMetadata, modelVersion } = response;
  return { usageMetadata, modelVersion } as GenerateContentResponse;
}

const isPart = (part: unknown): boolean =>
  isObject(part) && (!('text' in part) || typeof part.text === 'string');

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function toError(error: unknown): JobError {
  const { code, message } = (isObject(error) ? error : {}) as Record<keyof JobError, unknown>;
  return {
    ...(typeof code === 'number' && { code }),
    ...(typeof message === 'string' && { message }),
  };
}

/** Codes of google.rpc.Code. */
const cancelled = 1;
const deadlineExceeded = 4;
const internal = 13;

function getBatchError({ state, error }: BatchJob): JobError {
  if (state === JobState.JOB_STATE_CANCELLED)
    return { code: cancelled, message: 'The batch was canceled at Google by another program.' };
  if (state === JobState.JOB_STATE_EXPIRED)
    return { code: deadlineExceeded, message: 'The batch has expired at Google.' };
  return { code: error?.code ?? internal, message: error?.message ?? 'The batch has no reply.' };
}

const codes: Record<number, number> = { 400: 3, 401: 16, 403: 7, 404: 5, 413: 3 };

/** Returns the result of each call of a batch whose creation Google has refused. */
export function toRefusal(error: ApiError, message: string): CallResult {
  return { error: { code: codes[error.status] ?? internal, message } };
}

/** Returns token counts under the names of `usageMetadata`, and the model that answered. */
export function getCounts(result: CallResult, model: string): JsonObject | undefined {
  return 'response' in result ? build(result.response, model).usage : undefined;
}

/**
 * @param ageMs since the call was made
 * @throws {FatalError} if the request is at fault, or the batch was canceled
 */
export function toResponse(
  result: CallResult,
  { model, ageMs }: { model: string; ageMs: number },
  stall: Stall,
): ModelResponse | FailedCall {
  if ('response' in result) {
    const builder = build(result.response, model);
    if (builder.ended) return builder.build(ageMs, {});
    return toFailedCall('The response of the model was incomplete.', '', builder.usage, stall);
  }
  const { code = internal, message = 'no reason given' } = result.error;
  const detail = message.slice(0, maxMessageChars);
  if (code === cancelled) throw new FatalError(detail);
  if (isFatalCode(code)) throw new FatalError(`The model refused the request: ${detail}`);
  return toFailedCall('The call failed in its batch.', detail, { model, tier }, stall);
}

function build(response: GenerateContentResponse, model: string): ResponseBuilder {
  const builder = new ResponseBuilder(model, tier);
  builder.add(response);
  return builder;
}

function toFailedCall(message: string, detail: string, usage: JsonObject, stall: Stall): FailedCall {
  const now = databaseNow();
  const parkMs = stall.getOutageParkMs(now, Math.random());
  return {
    failed: { kind: 'outage', at: new Date(now).toISOString(), message, detail, parkMs },
    usage,
    ms: 0,
  };
}
