/**
 * Serves the files of tasks (shared/db/tasks/files.ts) to the owner of the task. For all other callers they do
 * not exist (invariant 9). Content of agents is served as a download, never as a page of this origin. The URL contains the hash of the content, so copies never expire.
 */
import { Readable } from 'node:stream';
import { TaskNotFoundError } from '@a2a-js/sdk/errors';
import type { FastifyInstance } from 'fastify';
import { forOwner } from '#shared/db/client/owner-connections.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { openFile } from '#shared/db/tasks/files.ts';
import { isFileHash } from '#shared/domain/file-url.ts';
import { isUuid } from '#shared/domain/ids.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { createHttpCallContext } from '../bindings/call-context.ts';
import { jsonStatusFailure } from '../bindings/rest/dialect.ts';
import { getCaller, requireCallScope } from '../handler/caller.ts';
import { matchesEntityTag } from '../http/conditional.ts';
import { contentSecurityPolicy } from '../http/headers.ts';
import { sendFailure } from '../http/failure.ts';
import { Query } from '../http/query.ts';

export function registerFileRoutes(app: FastifyInstance, { db, log }: { db: Db; log: Logger }): void {
  const config = { failure: jsonStatusFailure };
  app.get<{ Params: { taskId: string; hash: string } }>(
    '/files/:taskId/:hash',
    { config },
    async (request, reply) => {
      try {
        const { taskId, hash } = request.params;
        const tenant = new Query(request.query).string('tenant');
        const context = createHttpCallContext(request, reply, tenant);
        requireCallScope(context, 'read', 'GET /files/:taskId/:hash');
        const caller = getCaller(context);
        const isValid = isUuid(taskId) && isFileHash(hash);
        const file = isValid
          ? await openFile(forOwner(db, caller.owner), caller, { taskId, hash })
          : undefined;
        if (file === undefined) throw new TaskNotFoundError(`file ${hash} of task ${taskId} was not found`);
        const etag = `"${hash}"`;
        void reply.headers({
          etag,
          'cache-control': 'private, max-age=31536000, immutable',
          // Neither pages of other sites nor the file itself may use what the caller's browser can read.
          'cross-origin-resource-policy': 'same-origin',
          'content-security-policy': `${contentSecurityPolicy}; sandbox`,
        });
        const ifNoneMatch = request.headers['if-none-match'];
        if (ifNoneMatch !== undefined && matchesEntityTag(ifNoneMatch, etag)) {
          return await reply.code(304).send();
        }
        return await reply
          .header(
            'content-type',
            mediaTypePattern.test(file.mediaType) ? file.mediaType : 'application/octet-stream',
          )
          .header('content-disposition', toContentDisposition(file.filename))
          .header('content-length', file.size)
          .send(Readable.from(request.method === 'HEAD' ? [] : file.content(), { objectMode: false }));
      } catch (error) {
        return sendFailure(reply, log, error, jsonStatusFailure);
      }
    },
  );
}

/** Media types that are safe in a header: clients and models may send any string. */
const mediaTypePattern = /^[\w.+-]+\/[\w.+-]+(?:; ?[\w-]+=[\w.-]+)*$/;

/** RFC 6266: the full name for clients that support it, and an ASCII form for the others. */
function toContentDisposition(filename: string | null): string {
  if (filename === null) return 'attachment';
  const ascii = filename.replaceAll(/[^\x20-\x7e]|["\\%]/g, '_');
  const full = encodeURIComponent(filename.toWellFormed()).replaceAll(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16)}`,
  );
  return `attachment; filename="${ascii}"; filename*=UTF-8''${full}`;
}
