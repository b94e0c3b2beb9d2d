/**
 * Bounds the downloads of a worker: how many run at once, how many of them belong to one owner, and how many files
 * and bytes one turn may fetch. The content of a turn's files counts against the memory of the worker until the
 * turn ends.
 */
import { FatalError, RetryableError } from '#shared/domain/errors.ts';
import type { PartnerWaits } from '../partner-waits.ts';
import { redactUrl, type FetchedFile, type FileFetcher } from './fetch-file.ts';

/** Memory for each byte of a file: its content, its base64 form, and the JSON of the step that records it. */
const memoryPerByte = 3;

export interface DownloadLimits {
  /** Downloads of this process at the same time. One owner has at most half of them. */
  concurrency: number;
  /** Files of one turn that are fetched. */
  maxTurnFiles: number;
  /** Bytes of these files together. */
  maxTurnBytes: number;
}

/** The downloads of one turn. */
export interface TurnDownloads {
  /**
   * Fetches a file.
   *
   * @throws {FatalError} if the turn has no more files or bytes left, or another attempt cannot help
   * @throws {RetryableError} if another attempt may help
   * @throws {ParkedError} if the worker has no memory for the file at present
   */
  fetch(url: string, signal: AbortSignal): Promise<FetchedFile>;
  /** Counts a file that this service has stored and that the turn reads. Throws the same errors. */
  addStored(bytes: number): Promise<void>;
  /** Counts a file that an earlier run of the turn has recorded; its memory belongs to the turn's input. */
  addRecorded(bytes: number): void;
}

/** The downloads of an earlier turn that is replayed: its files are recorded and belong to the input of this turn. */
export const recordedDownloads: TurnDownloads = {
  fetch: async (url) => {
    throw new Error(`the replay of an earlier turn would fetch ${redactUrl(url)}`);
  },
  addStored: async () => undefined,
  addRecorded: () => undefined,
};

/**
 * @param reserveMemory the method of the turn
 * @param waits report servers that are silent
 */
type OpenDownloads = (
  owner: string,
  reserveMemory: (bytes: number) => Promise<void>,
  waits: PartnerWaits,
) => TurnDownloads;

export function createDownloads(fetcher: FileFetcher, limits: DownloadLimits): OpenDownloads {
  const slots = new DownloadSlots(limits.concurrency);
  return (owner, reserveMemory, waits) => {
    let files = 0;
    let bytes = 0;

    function countFile(): void {
      files += 1;
      if (files > limits.maxTurnFiles) {
        throw new FatalError(
          `The message has more files than one turn can fetch: at most ${limits.maxTurnFiles} by URL are accepted.`,
        );
      }
    }

    function countBytes(more: number): void {
      bytes += more;
      if (bytes > limits.maxTurnBytes) {
        throw new FatalError(
          `The files of the message are too large together: one turn can fetch at most ${limits.maxTurnBytes} bytes.`,
        );
      }
    }

    async function admit(more: number): Promise<void> {
      countBytes(more);
      await reserveMemory(more * memoryPerByte);
    }

    async function fetchInSlot(url: string, signal: AbortSignal, heard: () => void): Promise<FetchedFile> {
      const release = await slots.take(owner, signal);
      const partner = getServer(url);
      const startedAt = performance.now();
      try {
        // Another file may have used up the bytes while this one waited.
        countBytes(0);
        const file = await fetcher.fetch(url, signal, (more) => {
          heard();
          return admit(more);
        });
        waits.answered(partner);
        return file;
      } catch (error) {
        if (error instanceof RetryableError) waits.parked(partner, startedAt);
        throw error;
      } finally {
        release();
      }
    }

    return {
      addStored: async (more) => {
        countFile();
        await admit(more);
      },
      addRecorded: (more) => {
        countFile();
        countBytes(more);
      },
      fetch: async (url, signal) => {
        countFile();
        const wait = { partner: `the file ${redactUrl(url)}`, reason: 'It has not arrived.' };
        return waits.during(wait, (heard) => fetchInSlot(url, signal, heard));
      },
    };
  };
}

function getServer(url: string): string {
  return `the file server ${URL.canParse(url) ? new URL(url).host : ''}`;
}

/** Waiters are served in order of arrival, except those of an owner that has half of the slots. */
class DownloadSlots {
  readonly #size: number;
  readonly #ownerSize: number;
  readonly #inUse = new Map<string, number>();
  readonly #waiting = new Map<() => void, string>();
  #total = 0;

  constructor(size: number) {
    this.#size = size;
    this.#ownerSize = Math.ceil(size / 2);
  }

  async take(owner: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (!this.#hasRoom(owner)) await this.#wait(owner, signal);
    else this.#add(owner, 1);
    return () => {
      this.#add(owner, -1);
      for (const [grant, next] of this.#waiting) if (this.#hasRoom(next)) grant();
    };
  }

  #hasRoom(owner: string): boolean {
    return this.#total < this.#size && (this.#inUse.get(owner) ?? 0) < this.#ownerSize;
  }

  #add(owner: string, change: number): void {
    this.#total += change;
    const inUse = (this.#inUse.get(owner) ?? 0) + change;
    if (inUse === 0) this.#inUse.delete(owner);
    else this.#inUse.set(owner, inUse);
  }

  #wait(owner: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(grant);
        signal.removeEventListener('abort', onAbort);
      };
      const grant = (): void => {
        leave();
        this.#add(owner, 1);
        resolve();
      };
      const onAbort = (): void => {
        leave();
        reject(signal.reason);
      };
      this.#waiting.set(grant, owner);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}
