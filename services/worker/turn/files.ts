/**
 * Parts over 256 KiB that a turn writes are stored once as files of its task, and stand in events, artifacts and
 * messages by the address under which the front door serves them: reads, streams and webhooks stay small.
 */
import { createHash } from 'node:crypto';
import type { Db } from '#shared/db/client/pool.ts';
import { readFile, storeFile, type StoredFile } from '#shared/db/tasks/files.ts';
import type { Lease } from '#shared/db/turns/leases.ts';
import type { Caller } from '#shared/db/tasks/read.ts';
import { createFileUrl, parseFileUrl } from '#shared/domain/file-url.ts';
import type { Part } from '#shared/domain/message.ts';

/** In bytes of the content. */
const largestInlinePart = 256 * 1024;

export interface TurnFiles {
  /** Parts as they are to be written. The files are stored when this resolves. */
  settle(parts: readonly Part[]): Promise<Part[]>;
  /** A file that is stored for the owner of the turn; undefined where the address names none. */
  read(url: string): Promise<StoredFile | undefined>;
}

export type FilesOf = (lease: Lease, owner: Caller) => TurnFiles;

/** @param publicUrl of the front door; undefined: parts of every size stay where they are */
export function createFiles(db: Db, publicUrl: string | undefined): FilesOf {
  if (publicUrl === undefined) {
    return () => ({ settle: async (parts) => [...parts], read: async () => undefined });
  }
  return (lease, owner) => ({
    settle: (parts) => Promise.all(parts.map((part) => settle(lease, owner, part))),
    read: async (url) => {
      const place = parseFileUrl(publicUrl, url);
      return place && readFile(db, owner, place);
    },
  });

  async function settle(lease: Lease, { tenant }: Caller, part: Part): Promise<Part> {
    const { raw, ...about } = part;
    if (raw === undefined || Buffer.byteLength(raw, 'base64') <= largestInlinePart) return part;
    const content = Buffer.from(raw, 'base64');
    const hash = createHash('sha256').update(content).digest('base64url');
    const { mediaType = 'application/octet-stream', filename = null } = about;
    await storeFile(db, lease, { hash, mediaType, filename, content });
    return {
      url: createFileUrl(publicUrl ?? '', tenant, { taskId: lease.taskId, hash }),
      ...about,
      mediaType,
    };
  }
}
