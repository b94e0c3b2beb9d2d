/**
 * Collects what this process stores for owners, and adds it to `owner_usage` once a second: a row for each owner
 * that is updated by every accepted message would make the messages of one owner wait for each other. The last
 * second of a killed process is missing until a recount (`npm run admin -- limits recount`), and so are amounts whose
 * statement may have run: adding them twice would refuse messages without reason.
 */
import { certainlyDidNotRun } from '../client/errors.ts';
import type { Db } from '../client/pool.ts';
import { addOwnerUsage, type StoredAmounts } from './usage.ts';

const flushMs = 1_000;

export interface UsageRecorder {
  /** Amounts are negative for what was removed. */
  add(owner: string, amounts: Partial<StoredAmounts>): void;
  /** Returns what has been recorded for an owner and is not yet known to be in `owner_usage`. */
  getPending(owner: string): StoredAmounts;
  /** Changes when pending amounts are being added: a read of `owner_usage` may have seen them or not. */
  readonly version: number;
  /** Resolves when no amounts are being added. */
  settled(): Promise<void>;
  /** Adds what is pending, and then stops. */
  close(): Promise<void>;
}

export function createUsageRecorder(db: Db): UsageRecorder {
  let collected = new Map<string, StoredAmounts>();
  let adding = new Map<string, StoredAmounts>();
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let version = 0;

  function add(owner: string, { bytes = 0, webhookConfigs = 0 }: Partial<StoredAmounts>): void {
    const amounts = collected.get(owner);
    if (amounts === undefined) collected.set(owner, { bytes, webhookConfigs });
    else {
      amounts.bytes += bytes;
      amounts.webhookConfigs += webhookConfigs;
    }
    timer ??= setTimeout(flush, flushMs).unref();
  }

  function flush(): void {
    adding = collected;
    collected = new Map();
    version += 1;
    running = addOwnerUsage(db, adding)
      .catch((error: unknown) => {
        if (!certainlyDidNotRun(error)) return;
        // Tried again with the next amounts.
        const failed = adding;
        adding = new Map();
        for (const [owner, amounts] of failed) add(owner, amounts);
      })
      .finally(() => {
        adding = new Map();
        running = undefined;
        timer = collected.size > 0 ? setTimeout(flush, flushMs).unref() : undefined;
      });
  }

  return {
    add,
    getPending: (owner) => {
      const [a, b] = [collected.get(owner), adding.get(owner)];
      return {
        bytes: (a?.bytes ?? 0) + (b?.bytes ?? 0),
        webhookConfigs: (a?.webhookConfigs ?? 0) + (b?.webhookConfigs ?? 0),
      };
    },
    get version() {
      return version;
    },
    settled: async () => running,
    close: async () => {
      clearTimeout(timer);
      await running;
      clearTimeout(timer);
      if (collected.size > 0) await addOwnerUsage(db, collected).catch(() => undefined);
      collected = new Map();
    },
  };
}
