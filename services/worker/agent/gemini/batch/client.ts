/**
 * Calls Google's Batch API (ai.google.dev/gemini-api/docs/batch-api and /api/batch-api, read in November 2026) through the SDK.
 */
import {
  ApiError,
  JobState,
  type BatchJob,
  type GoogleGenAI,
  type InlinedRequest,
  type WebhookConfig,
} from '@google/genai';

/** For every request: Google answers before the models work. */
const requestMs = 60_000;
/** A creation has up to 20 MB, and the results may have more. */
const largeRequestMs = 110_000;
const pageSize = 100;
/** Batches that are looked through for one that may exist. */
const maxListed = 5_000;

export interface NewBatch {
  model: string;
  displayName: string;
  requests: InlinedRequest[];
  webhook: WebhookConfig | undefined;
}

/** @returns Google's name for it */
export async function createBatch(
  client: GoogleGenAI,
  { model, displayName, requests, webhook }: NewBatch,
  signal: AbortSignal,
): Promise<string> {
  const { name } = await client.batches.create({
    model,
    src: requests,
    config: {
      displayName,
      ...(webhook !== undefined && { webhookConfig: webhook }),
      abortSignal: bound(signal, largeRequestMs),
    },
  });
  if (name === undefined) throw new Error('Google has created a batch without a name');
  return name;
}

/** Returns the name of a batch that an earlier try may have created; undefined: there is none. */
export async function findBatch(
  client: GoogleGenAI,
  displayName: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const config = { pageSize, abortSignal: bound(signal, requestMs) };
  let listed = 0;
  for await (const batch of await client.batches.list({ config })) {
    if (batch.displayName === displayName) return batch.name;
    listed += 1;
    if (listed >= maxListed) break;
  }
  return undefined;
}

/** @throws {ApiError} 404 if Google does not have it */
export async function getBatch(client: GoogleGenAI, name: string, signal: AbortSignal): Promise<BatchJob> {
  return client.batches.get({ name, config: { abortSignal: bound(signal, largeRequestMs) } });
}

/** Stops what has not started. */
export async function cancelBatch(client: GoogleGenAI, name: string, signal: AbortSignal): Promise<void> {
  await client.batches.cancel({ name, config: { abortSignal: bound(signal, requestMs) } });
}

/** Deletes requests and replies at Google. One that Google no longer has is deleted. */
export async function deleteBatch(client: GoogleGenAI, name: string, signal: AbortSignal): Promise<void> {
  try {
    await client.batches.delete({ name, config: { abortSignal: bound(signal, requestMs) } });
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

const ended = new Set<JobState | undefined>([
  JobState.JOB_STATE_SUCCEEDED,
  JobState.JOB_STATE_PARTIALLY_SUCCEEDED,
  JobState.JOB_STATE_FAILED,
  JobState.JOB_STATE_CANCELLED,
  JobState.JOB_STATE_EXPIRED,
]);

export function hasEnded({ state }: BatchJob): boolean {
  return ended.has(state);
}

export function isGone(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}

function bound(signal: AbortSignal, ms: number): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(ms)]);
}
