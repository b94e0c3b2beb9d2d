/**
 * The wire format of the Batch API, as far as the offline model speaks it (ai.google.dev/api/batch-api and
 * /gemini-api/docs/batch-api, read in November 2026; types of @google/genai 3.1).
 */
import { GoogleError } from '../google-error.ts';
import type { GenerateResponse } from '../wire.ts';

/** States that the SDK reads as `JOB_STATE_…`. */
export type BatchState =
  | 'BATCH_STATE_PENDING'
  | 'BATCH_STATE_RUNNING'
  | 'BATCH_STATE_SUCCEEDED'
  | 'BATCH_STATE_FAILED'
  | 'BATCH_STATE_CANCELLED'
  | 'BATCH_STATE_EXPIRED';

export interface WireRequest {
  request: unknown;
  metadata?: Record<string, unknown>;
}

export interface WireResponse {
  metadata?: Record<string, unknown>;
  response?: GenerateResponse;
  error?: { code: number; message: string };
}

export interface CreateBatchRequest {
  displayName: string;
  requests: WireRequest[];
  webhookConfig?: { uris?: string[]; userMetadata?: Record<string, unknown> };
}

export type BatchRoute =
  | { method: 'batch.create'; model: string }
  | { method: 'batch.list' }
  | { method: 'batch.get' | 'batch.cancel' | 'batch.delete'; id: string };

const createPath = /^\/v1(?:beta)?\/models\/([^/:]+):batchGenerateContent$/;
const batchPath = /^\/v1(?:beta)?\/batches(?:\/([^/:]+))?(?::(cancel))?$/;

/** Returns undefined for a path of another API. */
export function parseBatchRoute(httpMethod: string, path: string): BatchRoute | undefined {
  const model = createPath.exec(path)?.[1];
  if (model !== undefined) return httpMethod === 'POST' ? { method: 'batch.create', model } : undefined;
  const match = batchPath.exec(path);
  if (match === null) return undefined;
  const [, id, action] = match;
  if (id === undefined) return httpMethod === 'GET' ? { method: 'batch.list' } : undefined;
  if (action === 'cancel') return httpMethod === 'POST' ? { method: 'batch.cancel', id } : undefined;
  if (httpMethod === 'GET') return { method: 'batch.get', id };
  return httpMethod === 'DELETE' ? { method: 'batch.delete', id } : undefined;
}

/** @throws {GoogleError} 400 for what the reference requires */
export function checkCreateBatch(body: unknown): CreateBatchRequest {
  const { batch } = (body ?? {}) as { batch?: Record<string, unknown> };
  const { displayName, inputConfig, webhookConfig } = batch ?? {};
  if (typeof displayName !== 'string' || displayName === '') throw invalid('batch.displayName is required.');
  const { requests } = (inputConfig ?? {}) as { requests?: { requests?: WireRequest[] } };
  const list = requests?.requests;
  if (!Array.isArray(list) || list.length === 0) {
    throw invalid('The offline model takes batches with batch.inputConfig.requests alone.');
  }
  const config = webhookConfig as CreateBatchRequest['webhookConfig'];
  return { displayName, requests: list, ...(config !== undefined && { webhookConfig: config }) };
}

function invalid(message: string): GoogleError {
  return new GoogleError(400, { message });
}
