/**
 * The files of tasks (shared/db/files.ts), for the owner of the task alone: to everybody else they do not exist
 * (invariant 9). What an agent made is served as something to keep, never as a page of this origin; its address names
 * its content, so that a copy stays good for ever.
 */
import { TaskNotFoundError } from '@a2a-js/sdk/errors';
import type { FastifyInstance } from 'fastify';
import type { Db } from '#shared/db/client/pool.ts';
import { readFile } from '#shared/db/tasks/files.ts';
import { isFileHash } from '#shared/domain/file-url.ts';
import { isUuid } from '#shared/domain/ids.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { httpCallContext } from '../bindings/call-context.ts';
import { getCaller } from '../handler/caller.ts';
import { RetryLaterError, toClientError } from '../handler/errors.ts';
import { Query } from '../http/query.ts';
import { toHttpStatus, statusBody } from '../bindings/rest/dialect.ts';

export function registerFileRoutes(app: FastifyInstance, { db, log }: { db: Db; log: Logger }): void {
  app.get<{ Params: { taskId: string; hash: string } }>('/files/:taskId/:hash', async (request, reply) => {
    try {
      const { taskId, hash } = request.params;
      const tenant = new Query(request.query).string('tenant');
      const caller = getCaller(httpCallContext(request, reply, tenant));
      const named = isUuid(taskId) && isFileHash(hash);
      const file = named ? await readFile(db, caller, { taskId, hash }) : undefined;
      if (file === undefined) throw new TaskNotFoundError(`file ${hash} of task ${taskId} was not found`);
      const etag = `"${hash}"`;
      void reply.headers({ etag, 'cache-control': 'private, max-age=31536000, immutable' });
      const known = request.headers['if-none-match']?.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
      if (known?.includes(etag) === true) return await reply.code(304).send();
      return await reply
        .header(
          'content-type',
          isMediaType.test(file.mediaType) ? file.mediaType : 'application/octet-stream',
        )
        .header('content-disposition', dispositionOf(file.filename))
        .send(file.content);
    } catch (error) {
      const told = toClientError(log, error);
      if (told instanceof RetryLaterError) void reply.header('retry-after', String(told.retryAfterSeconds));
      const status = toHttpStatus(told);
      const body = JSON.stringify(statusBody(told, status));
      return reply.code(status).header('content-type', 'application/json').send(body);
    }
  });
}

/** What a header can say; clients and models name types as they like. */
const isMediaType = /^[\w.+-]+\/[\w.+-]+(?:; ?[\w-]+=[\w.-]+)*$/;

/** RFC 6266: the name in full for those who can read it, in ASCII for the others. */
function dispositionOf(filename: string | null): string {
  if (filename === null) return 'attachment';
  const ascii = filename.replaceAll(/[^\x20-\x7e]|["\\%]/g, '_');
  const full = encodeURIComponent(filename.toWellFormed()).replaceAll(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16)}`,
  );
  return `attachment; filename="${ascii}"; filename*=UTF-8''${full}`;
}
