/**
 * Applies the quota of a model, which all workers share (shared/db/models/quotas.ts), to the calls of one
 * task. A call that can start soon waits in place; otherwise the task is parked until then. Calls proceed without
 * the quota while the database is unavailable, because the model enforces its own limits.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Content, GenerateContentConfig } from '@google/genai';
import { isPassing } from '#shared/db/client/errors.ts';
import type { ModelCall, ModelQuotas } from '#shared/db/models/quotas.ts';
import { ParkedError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { quotaMessage } from './failure.ts';
import { estimateTokens } from './tokens.ts';
import { databaseNow } from '#shared/runtime/clock.ts';

/** A call that may start. */
export interface AdmittedCall {
  /** How long it waited in place. */
  waitedMs: number;
  /** Corrects the estimate to the true number of input tokens, if the counts of the response include it. */
  answered(counts: JsonObject): void;
  /**
   * Refunds a call that the model refused.
   *
   * @param retryAfterMs how long the model refuses calls; 0: unknown
   * @param refusedAt when the model last refused this request
   * @returns whether the model has answered only smaller requests since then, so that this one may never fit
   */
  refused(retryAfterMs: number, refusedAt: Date | undefined): Promise<boolean>;
}

export interface TaskQuota {
  /** @throws {ParkedError} if the call would have to wait too long in place */
  acquire(request: QuotaRequest, signal: AbortSignal): Promise<AdmittedCall>;
}

interface QuotaRequest {
  contents: readonly Content[];
  config: GenerateContentConfig;
}

export const unlimitedQuota: TaskQuota = {
  acquire: async () => ({ waitedMs: 0, answered: () => undefined, refused: async () => false }),
};

/** @param log reports estimates that could not be corrected */
export function createTaskQuota(
  quotas: ModelQuotas,
  task: Omit<ModelCall, 'tokens'>,
  log?: Logger,
): TaskQuota {
  return {
    acquire: async (request, signal) => {
      const tokens = task.tokensPerMinute === undefined ? 0 : estimateRequest(request);
      const call: ModelCall = { ...task, tokens };
      const answer = (await ignoreOutage(quotas.take(call))) ?? { kind: 'granted', waitMs: 0 };
      if (answer.kind === 'parked') {
        throw new ParkedError(quotaMessage, new Date(databaseNow() + answer.waitMs));
      }
      if (answer.waitMs > 0) {
        await sleep(answer.waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
      return {
        waitedMs: answer.waitMs,
        answered: ({ promptTokenCount }) => {
          if (typeof promptTokenCount !== 'number') return;
          ignoreOutage(quotas.settle(call, promptTokenCount)).catch((error: unknown) =>
            log?.warn({ taskId: task.taskId, error: errorMessage(error) }, 'model quota not corrected'),
          );
        },
        refused: async (retryAfterMs, refusedAt) => {
          const refusal = { retryAfterMs, refusedAt, tokens: estimateRequest(request) };
          return (await ignoreOutage(quotas.refund(call, refusal))) ?? false;
        },
      };
    },
  };
}

async function ignoreOutage<T>(operation: Promise<T>): Promise<T | undefined> {
  return operation.catch((error: unknown) => {
    if (!isPassing(error)) throw error;
    return undefined;
  });
}

function estimateRequest({ contents, config }: QuotaRequest): number {
  const settings = { text: JSON.stringify([config.systemInstruction, config.tools]) };
  return estimateTokens([settings, ...contents.flatMap(({ parts = [] }) => parts)]);
}
