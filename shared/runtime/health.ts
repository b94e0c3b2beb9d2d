/**
 * Health for Cloud Run's probes and for people. Live: the process answers. Ready: what it depends on answers too.
 * (Paths that end in "z" are reserved on Cloud Run.)
 */
import type { FastifyInstance } from 'fastify';
import { errorMessage } from './log.ts';

/** Resolves when the service can do its work; rejects with what is missing. */
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
