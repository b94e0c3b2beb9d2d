/**
 * Health endpoints for Cloud Run's probes and for operators. Live: the process responds. Ready: its
 * dependencies respond as well. (Cloud Run reserves paths that end in "z".)
 */
import type { FastifyInstance } from 'fastify';
import { errorMessage } from './log.ts';

/** Resolves if the service can do its work. Rejects with the reason otherwise. */
export type ReadyCheck = () => Promise<void>;

export function registerHealth(app: FastifyInstance, ready: ReadyCheck): void {
  app.get('/health/live', async () => ({ status: 'live' }));
  app.get('/health/ready', async (_request, reply) => {
    try {
      await ready();
      return { status: 'ready' };
    } catch (error) {
      return reply.code(503).send({ status: 'not ready', reason: errorMessage(error) });
    }
  });
}
