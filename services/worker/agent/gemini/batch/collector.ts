/**
 * Creates batches at Google, polls them and gives their results back one by one, for the tasks of all workers and apart from
 * turns: a call that waits holds no slot and no lease.
 *
 *   collected ─▶ claimed ─▶ looked for at Google, if it may exist ─▶ created ─▶ claimed again ─▶ polled ──ended──▶ results
 *                             │                                       │                            ▲    │          stored
 *                             └────────────────found─────────────────▶│                            └runs┘            │
 *                                                                     └─refused─▶ halved, until one call     deleted at Google
 */
import { ApiError, type BatchJob, type GoogleGenAI } from '@google/genai';
import { isPassing } from '#shared/db/client/errors.ts';
import type { DueBatch } from '#shared/db/models/batches.ts';
import { webhookTokenKey } from '#shared/domain/wait.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { startPeriodicWork, type PeriodicWork } from '../interactions/periodic-work.ts';
import { toModelUsage } from '../model/cost.ts';
import { toModelFailure } from '../model/failure.ts';
import { cancelBatch, createBatch, deleteBatch, findBatch, getBatch, hasEnded, isGone } from './client.ts';
import { countLinesWithoutKey, getCounts, getResults, toRefusal, type CallResult } from './result.ts';
import type { Batches } from './stores.ts';

const intervalMs = 2_000;
const removeIntervalMs = 15_000;

/** The display name of a batch at Google. */
const toDisplayName = (id: string): string => `longhaul-${id}`;

export interface CollectorOptions {
  /** Webhooks may be reported to addresses without TLS: the API is not Google's. */
  plainWebhooks: boolean;
  /** Webhooks are registered for the project, so that batches name no address. */
  projectWebhooks: boolean;
}

export function startCollector(
  client: GoogleGenAI,
  batches: Batches,
  { plainWebhooks, projectWebhooks }: CollectorOptions,
  log: Logger | undefined,
): PeriodicWork {
  async function advance(batch: DueBatch, signal: AbortSignal): Promise<void> {
    try {
      if (batch.name === null) await open(batch, signal);
      else await poll(batch, batch.name, signal);
    } catch (error) {
      // It is claimed again later.
      if (signal.aborted) return;
      const level = isPassing(error) ? 'debug' : 'warn';
      log?.[level]({ batch: batch.id, reason: errorMessage(error) }, 'batch not advanced');
    }
  }

  async function open(batch: DueBatch, signal: AbortSignal): Promise<void> {
    const { id, mayExist, isAwaited } = batch;
    const found = mayExist ? await findBatch(client, toDisplayName(id), signal) : undefined;
    if (found === undefined && !isAwaited) return batches.remove(id);
    const name = found ?? (await create(batch, signal));
    if (name === undefined) return;
    passFaultPoint('batch-created');
    await batches.recordName(id, name);
  }

  /** @returns undefined if it was refused */
  async function create(batch: DueBatch, signal: AbortSignal): Promise<string | undefined> {
    const { id, model, token } = batch;
    const calls = await batches.readRequests(id);
    const requests = calls.map(({ id: key, request }) => ({ ...request, model, metadata: { key } }));
    const webhook = getWebhook(token);
    try {
      return await createBatch(client, { model, displayName: toDisplayName(id), requests, webhook }, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ApiError)) throw error;
      const { kind, message } = toModelFailure(error, { model, status: error.status, retryAfter: null });
      if (kind !== 'fatal' && kind !== 'credentials') throw error;
      const mayBeOneCall = error.status === 400 || error.status === 413;
      if (mayBeOneCall && kind === 'fatal' && calls.length > 1) await batches.split(id);
      else await end(batch, (ids) => ids.map((call) => ({ id: call, result: toRefusal(error, message) })));
      return undefined;
    }
  }

  function getWebhook(token: string) {
    if (projectWebhooks) return { userMetadata: { [webhookTokenKey]: token } };
    const url = batches.getWebhookUrl(token);
    return url !== undefined && (plainWebhooks || url.startsWith('https:')) ? { uris: [url] } : undefined;
  }

  async function poll(batch: DueBatch, name: string, signal: AbortSignal): Promise<void> {
    if (!batch.isAwaited) await cancelBatch(client, name, signal).catch(() => signal.throwIfAborted());
    const job = await getBatch(client, name, signal).catch((error: unknown): BatchJob | undefined => {
      if (isGone(error)) return undefined;
      throw error;
    });
    if (job !== undefined && !hasEnded(job)) return batches.postpone(batch.id);
    const lines = job === undefined ? 0 : countLinesWithoutKey(job);
    if (lines > 0) log?.warn({ batch: batch.id, lines }, 'results of a batch without a key ignored');
    await end(
      batch,
      (ids) => {
        if (job !== undefined) return getResults(job, ids);
        const result = { error: { code: 5, message: 'Google no longer has the batch.' } };
        return ids.map((id) => ({ id, result }));
      },
      () => deleteBatch(client, name, signal),
    );
  }

  /** @param forget deletes it at Google, once the results are stored */
  async function end(
    { id, model, prices }: DueBatch,
    getAll: (ids: readonly string[]) => { id: string; result: CallResult }[],
    forget: () => Promise<void> = async () => undefined,
  ): Promise<void> {
    const results = getAll(await batches.listOpen(id));
    await batches.store(
      results.map(({ id: call, result }) => {
        const counts = getCounts(result, model);
        return {
          id: call,
          result: JSON.stringify(result),
          usage: counts && toModelUsage(counts, model, prices),
        };
      }),
    );
    await forget();
    await batches.remove(id);
    log?.info({ batch: id, calls: results.length }, 'batch ended');
  }

  const claims = startPeriodicWork(
    batches.everyMs ?? intervalMs,
    async (signal) => {
      await batches.create();
      await Promise.all((await batches.claim()).map((batch) => advance(batch, signal)));
    },
    log,
    'batches not read',
  );
  const removals = startPeriodicWork(
    batches.removeEveryMs ?? removeIntervalMs,
    () => batches.removeOver(),
    log,
    'calls of batches not removed',
  );
  return {
    close: async () => void (await Promise.all([claims.close(), removals.close()])),
  };
}
