/** Warns clients about requests that are valid but probably not what they meant. */
import type { FastifyReply } from 'fastify';
import type { Logger } from '#shared/runtime/log.ts';

export const warningHeader = 'Longhaul-Warning';

/** Further warnings of one request are left out. */
const maxWarnings = 5;

/** Returns a function that sends warnings with the answer, each in a header, and logs them. */
export function createWarner(reply: FastifyReply, log: Logger): (warnings: readonly string[]) => void {
  return (warnings) => {
    void reply.header(warningHeader, warnings.slice(0, maxWarnings));
    log.debug({ warnings }, 'request has unknown fields');
  };
}
