/**
 * Stores the large parts of a turn's output as files of its task, each content once. Events, artifacts and messages
 * then contain the URL at which the api serves the file, so that reads, streams and webhooks stay small.
 *
 * A part is large above 256 KiB, or above half of what the artifact or message has left. Therefore, any number of parts
 * fits that is not absurd: the fuller the output, the smaller the parts that become files.
 */
import { createHash } from 'node:crypto';
import type { Db } from '#shared/db/client/pool.ts';
import type { UsageRecorder } from '#shared/db/owners/usage-recorder.ts';
import { readArtifactParts, readArtifactSizes } from '#shared/db/tasks/content.ts';
import { readFile, storeFile, type StoredFile } from '#shared/db/tasks/files.ts';
import type { Caller } from '#shared/db/tasks/read.ts';
import { FatalError } from '#shared/domain/errors.ts';
import { createFileUrl, parseFileUrl } from '#shared/domain/file-url.ts';
import type { Part } from '#shared/domain/message.ts';
import { maxFileBytes, maxInlineBytes, measure } from '#shared/domain/sizes.ts';
import type { Logger } from '#shared/runtime/log.ts';
import type { HeldLease } from '../lease-heartbeat.ts';
import { retryReadWhileLeased, retryWhileLeased } from '../retry-while-leased.ts';
import type { OutputPace } from './pace.ts';

/** A part with a URL in place of its content takes about 250 bytes. */
const minFileBytes = 1024;

export interface TurnFiles {
  /**
   * Stores large parts as files, and returns all parts with URLs in place of the stored content.
   *
   * @param output names the output in errors, such as `The message`
   * @param maxBytes what the returned parts may take, as `measure` counts it
   * @throws {FatalError} if they take more even so
   */
  fit(output: string, parts: readonly Part[], maxBytes: number): Promise<Part[]>;
  /**
   * Stores the content of a part as a file; undefined: this worker cannot store files.
   *
   * @throws {FatalError} if the content is larger than `maxFileBytes`
   */
  store: ((part: Part) => Promise<Part>) | undefined;
  /** Reads a file that is stored for the owner of the turn. Returns undefined if the URL names none. */
  read(url: string): Promise<StoredFile | undefined>;
  /** Returns the bytes of the artifacts that earlier runs and turns have stored, by id. */
  readArtifactSizes(): Promise<ReadonlyMap<string, number>>;
  /** Returns the parts of an artifact as clients have them; undefined: there is no such artifact. */
  readArtifact(artifactId: string): Promise<Part[] | undefined>;
}

/** @param pace of the writes; default: files are written at once */
export type OpenTurnFiles = (held: HeldLease, owner: Caller, pace?: OutputPace) => TurnFiles;

/** Reads and writes of files are repeated while the database is unavailable. */
export function createTurnFiles(
  db: Db,
  parts: {
    /** Base URL of the api; undefined: parts stay inline, and output that is too large fails its turn. */
    publicUrl: string | undefined;
    /** Counts what is stored. */
    recorder: Pick<UsageRecorder, 'add'>;
    log: Logger;
  },
): OpenTurnFiles {
  const { publicUrl, recorder, log } = parts;
  return (held, owner, pace) => {
    const { lease } = held;
    const read = <T>(operation: () => Promise<T>) => retryReadWhileLeased(held, log, operation, held.signal);
    const store =
      publicUrl === undefined
        ? undefined
        : async (part: Part) => {
            await pace?.wait(measure(part));
            const file = await createFile(part, pace);
            const bytes = await retryWhileLeased(held, log, () => storeFile(db, lease, file));
            recorder.add(owner.owner, { bytes });
            const url = createFileUrl(publicUrl, owner.tenant, { taskId: lease.taskId, hash: file.hash });
            return toUrlPart(part, url, file.mediaType);
          };
    return {
      fit: (output, parts, maxBytes) => fit(output, parts, maxBytes, store),
      store,
      read: async (url) => {
        const location = publicUrl === undefined ? undefined : parseFileUrl(publicUrl, url);
        return location && read(() => readFile(db, owner, location));
      },
      // The first run of the first turn finds none.
      readArtifactSizes: async () =>
        lease.turn === 1 && lease.fence === 1 ? new Map() : read(() => readArtifactSizes(db, lease.taskId)),
      readArtifact: (artifactId) => read(() => readArtifactParts(db, lease.taskId, artifactId)),
    };
  };
}

/** Smaller content is not worth a file. */
const minStoredBytes = 4096;

/** Stores the content of a part as a file, unless it is small or this worker cannot. */
export async function storeContent({ store }: TurnFiles, part: Part): Promise<Part> {
  const isSmall = part.url !== undefined || measure(part) <= minStoredBytes;
  return store === undefined || isSmall ? part : store(part);
}

/** Returns the size above which a part becomes a file. */
export function getInlineLimit(leftBytes: number): number {
  return Math.max(minFileBytes, Math.min(maxInlineBytes, leftBytes / 2));
}

export function assertFits(output: string, bytes: number, maxBytes: number, store: TurnFiles['store']): void {
  if (bytes <= maxBytes) return;
  const hint = store === undefined ? '. Large parts become files if the worker knows PUBLIC_URL' : '';
  throw new FatalError(
    `${output} is too large: it would take ${bytes} bytes next to its files, and ${Math.max(0, maxBytes)} are left${hint}.`,
  );
}

async function fit(
  output: string,
  parts: readonly Part[],
  maxBytes: number,
  store: TurnFiles['store'],
): Promise<Part[]> {
  const fitted: Part[] = [];
  let used = 0;
  for (const part of parts) {
    const isLarge = part.url === undefined && measure(part) > getInlineLimit(maxBytes - used);
    const small = isLarge && store !== undefined ? await store(part) : part;
    used += measure(small);
    assertFits(output, used, maxBytes, store);
    fitted.push(small);
  }
  return fitted;
}

/** Hashing that much takes a millisecond. */
const hashedBytes = 1024 * 1024;

/** @throws {FatalError} if the content is larger than `maxFileBytes` */
async function createFile(part: Part, pace: OutputPace | undefined): Promise<StoredFile & { hash: string }> {
  const { raw, text, data, mediaType = getDefaultType(part), filename = null } = part;
  const content =
    raw === undefined ? Buffer.from(text ?? JSON.stringify(data ?? null)) : Buffer.from(raw, 'base64');
  if (content.length > maxFileBytes) {
    throw new FatalError(
      `A part of the output has ${content.length} bytes, more than the limit of ${maxFileBytes} for a file.`,
    );
  }
  const sha256 = createHash('sha256');
  for (let start = 0; start < content.length; start += hashedBytes) {
    if (start > 0) await pace?.nextPiece();

    sha256.update(content.subarray(start, start + hashedBytes));
  }
  return { hash: sha256.digest('base64url'), mediaType, filename, content };
}

function toUrlPart(
  { raw: _raw, text: _text, data: _data, ...rest }: Part,
  url: string,
  mediaType: string,
): Part {
  return { url, ...rest, mediaType };
}

function getDefaultType({ raw, text }: Part): string {
  if (raw !== undefined) return 'application/octet-stream';
  return text === undefined ? 'application/json' : 'text/plain;charset=utf-8';
}
