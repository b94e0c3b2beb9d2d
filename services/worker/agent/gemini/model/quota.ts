/**
 * The quota of a task's model, which all workers share (shared/db/quotas.ts), as one task meets it: it waits in place where
 * its turn comes soon, and is parked until then where not. A database that is away holds up no call: the model has limits
 * of its own.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Content, GenerateContentConfig, Part } from '@google/genai';
import { wasRefused } from '#shared/db/client/batcher.ts';
import type { ModelCall, ModelQuotas } from '#shared/db/models/quotas.ts';
import { ParkedError } from '#shared/domain/errors.ts';

/** A call that may begin. */
export interface Admitted {
  /** How long it waited for that. */
  waitedMs: number;
  /** It went in with so many tokens. */
  settle(tokens: number): void;
  /** The model refused it; `patienceMs`: and asked all to wait. */
  refused(patienceMs: number): Promise<void>;
}

export interface Quota {
  /** @throws {ParkedError} where the call would have to wait for long */
  admit(request: QuotaRequest, signal: AbortSignal): Promise<Admitted>;
}

interface QuotaRequest {
  contents: readonly Content[];
  config: GenerateContentConfig;
}

export const unlimitedQuota: Quota = {
  admit: async () => ({ waitedMs: 0, settle: () => undefined, refused: async () => undefined }),
};

export function createTaskQuota(quotas: ModelQuotas, task: Omit<ModelCall, 'tokens'>): Quota {
  return {
    admit: async (request, signal) => {
      const tokens = task.tokensPerMinute === undefined ? 0 : estimateTokens(request);
      const call: ModelCall = { ...task, tokens };
      const answer = (await unlessAway(quotas.take(call))) ?? { kind: 'granted', waitMs: 0 };
      if (answer.kind === 'parked') {
        throw new ParkedError("The model's quota is used up for now.", new Date(Date.now() + answer.waitMs));
      }
      if (answer.waitMs > 0) {
        await sleep(answer.waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
      return {
        waitedMs: answer.waitMs,
        settle: (taken) => {
          if (taken !== tokens && task.tokensPerMinute !== undefined)
            void unlessAway(quotas.settle(call, taken));
        },
        refused: (patienceMs) => unlessAway(quotas.giveBack(call, patienceMs)),
      };
    },
  };
}

async function unlessAway<T>(operation: Promise<T>): Promise<T | undefined> {
  return operation.catch((error: unknown) => {
    if (wasRefused(error)) throw error;
    return undefined;
  });
}

const charsPerToken = 4;
/** Of a small image; what a file takes besides is not known before the call. */
const tokensPerFile = 258;

function estimateTokens({ contents, config }: QuotaRequest): number {
  const parts = contents.flatMap((content) => content.parts ?? []);
  const before = JSON.stringify([config.systemInstruction, config.tools]).length / charsPerToken;
  return Math.ceil(parts.reduce((sum, part) => sum + tokensOf(part), before));
}

function tokensOf(part: Part): number {
  if (part.inlineData !== undefined || part.fileData !== undefined) return tokensPerFile;
  return (part.text ?? JSON.stringify(part)).length / charsPerToken;
}
