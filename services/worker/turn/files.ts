/**
 * Stores the large parts (over 256 KiB) of a turn's output as files of its task, each content once. Events,
 * artifacts and messages then contain the URL at which the api serves the file, so that reads, streams and
 * webhooks stay small.
 */
import { createHash } from 'node:crypto';
import type { Db } from '#shared/db/client/pool.ts';
import type { UsageRecorder } from '#shared/db/owners/usage-recorder.ts';
import { readFile, storeFile, type StoredFile } from '#shared/db/tasks/files.ts';
import type { Caller } from '#shared/db/tasks/read.ts';
import type { Lease } from '#shared/db/turns/leases.ts';
import { createFileUrl, parseFileUrl } from '#shared/domain/file-url.ts';
import type { Part } from '#shared/domain/message.ts';

/** In bytes of the content. */
const maxInlineBytes = 256 * 1024;

export interface TurnFiles {
  /** Stores large parts as files, and returns all parts with URLs in place of the stored content. */
  storeLargeParts(parts: readonly Part[]): Promise<Part[]>;
  /** Reads a file that is stored for the owner of the turn. Returns undefined if the URL names none. */
  read(url: string): Promise<StoredFile | undefined>;
}

export type OpenTurnFiles = (lease: Lease, owner: Caller) => TurnFiles;

/**
 * @param publicUrl base URL of the api; undefined: parts of every size stay inline
 * @param recorder counts what is stored
 */
export function createTurnFiles(
  db: Db,
  publicUrl: string | undefined,
  recorder: Pick<UsageRecorder, 'add'>,
): OpenTurnFiles {
  if (publicUrl === undefined) {
    return () => ({ storeLargeParts: async (parts) => [...parts], read: async () => undefined });
  }
  return (lease, owner) => ({
    storeLargeParts: (parts) => Promise.all(parts.map((part) => storeIfLarge(publicUrl, lease, owner, part))),
    read: async (url) => {
      const location = parseFileUrl(publicUrl, url);
      return location && readFile(db, owner, location);
    },
  });

  async function storeIfLarge(
    baseUrl: string,
    lease: Lease,
    { tenant, owner }: Caller,
    part: Part,
  ): Promise<Part> {
    const { raw, ...rest } = part;
    if (raw === undefined || Buffer.byteLength(raw, 'base64') <= maxInlineBytes) return part;
    const content = Buffer.from(raw, 'base64');
    const hash = createHash('sha256').update(content).digest('base64url');
    const { mediaType = 'application/octet-stream', filename = null } = rest;
    recorder.add(owner, { bytes: await storeFile(db, lease, { hash, mediaType, filename, content }) });
    return { url: createFileUrl(baseUrl, tenant, { taskId: lease.taskId, hash }), ...rest, mediaType };
  }
}
