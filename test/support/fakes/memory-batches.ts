/** The calls and batches of all tasks in memory: what shared/db/models keeps in the database. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Batches } from '#services/worker/agent/gemini/batch/stores.ts';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { BatchResult } from '#shared/db/models/batch-results.ts';
import type { JsonObject } from '#shared/domain/message.ts';

interface MemoryCall {
  id: string;
  token: string;
  request: JsonObject;
  batch: string | undefined;
  result: JsonObject | null;
  /** A turn waits for it. */
  awaited: boolean;
}

interface MemoryBatch {
  id: string;
  name: string | null;
  tried: boolean;
}

export interface MemoryBatches extends Batches {
  readonly calls: MemoryCall[];
  readonly batches: MemoryBatch[];
  readonly results: BatchResult[];
  /** Calls of tasks whose deadline is near are not added. */
  soon: boolean;
  /** Ends the turns that still wait. */
  closed: boolean;
}

/** Batches are claimed again at once. @param size collects so many calls into a batch */
export function createMemoryBatches(size: number, prices: AgentDefinition['prices'] = {}): MemoryBatches {
  const calls: MemoryCall[] = [];
  const batches: MemoryBatch[] = [];
  const results: BatchResult[] = [];
  const open = (batch: string) => calls.filter((call) => call.batch === batch && call.result === null);
  const find = (id: string) => batches.find((batch) => batch.id === id)!;
  const store: MemoryBatches = {
    calls,
    batches,
    results,
    soon: false,
    closed: false,
    everyMs: 5,
    removeEveryMs: 5,
    add: async ({ token, request }) => {
      if (store.soon) return false;
      if (calls.every((call) => call.token !== token)) {
        const parsed = JSON.parse(request) as JsonObject;
        calls.push({
          id: randomUUID(),
          token,
          request: parsed,
          batch: undefined,
          result: null,
          awaited: true,
        });
      }
      return true;
    },
    read: async (token) => {
      if (store.closed) throw new Error('the test has ended');
      // A turn in memory reads without a pause.
      await sleep(1);
      const call = calls.find((each) => each.token === token);
      return call && { result: call.result, ageMs: 7 };
    },
    create: async () => {
      const waiting = calls.filter(({ batch }) => batch === undefined);
      if (waiting.length < size) return;
      const id = randomUUID();
      batches.push({ id, name: null, tried: false });
      for (const call of waiting) call.batch = id;
    },
    claim: async () =>
      batches.map((batch) => {
        const mayExist = batch.tried;
        batch.tried = true;
        const isAwaited = open(batch.id).some(({ awaited }) => awaited);
        const { id, name } = batch;
        return { id, model: 'gemini-3.8-flash', token: 'secret', name, mayExist, isAwaited, prices };
      }),
    readRequests: async (id) => open(id).filter(({ awaited }) => awaited),
    listOpen: async (id) => open(id).map((call) => call.id),
    recordName: async (id, name) => void (find(id).name = name),
    postpone: async () => undefined,
    split: async (id) => {
      const half = { id: randomUUID(), name: null, tried: true };
      batches.push(half);
      const all = open(id);
      for (const call of all.slice(Math.ceil(all.length / 2))) call.batch = half.id;
    },
    store: async (stored) => {
      results.push(...stored);
      for (const { id, result } of stored) {
        const call = calls.find((each) => each.id === id);
        if (call !== undefined) call.result = JSON.parse(result) as JsonObject;
      }
    },
    remove: async (id) => void batches.splice(batches.indexOf(find(id)), 1),
    removeOver: async () => undefined,
    getWebhookUrl: (token) => `http://api.test/gemini/webhooks/${token}`,
  };
  return store;
}
