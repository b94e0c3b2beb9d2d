/**
 * Health endpoints for Cloud Run's probes and for operators. Live: the process responds. Ready: its
 * dependencies respond as well. (Cloud Run reserves paths that end in "z".)
 */
import type { FastifyInstance } from 'fastify';
import { errorMessage, type Logger } from './log.ts';

/** The kinds of problem that probes see. They need no credentials, so the reason is only in the log. */
export type NotReadyCode = 'database_unavailable' | 'statements_failing' | 'keys_lost' | 'definition_missing';

/** A service is not ready for another reason than that its database does not answer. */
export class NotReadyError extends Error {
  override readonly name: string = 'NotReadyError';
  readonly code: NotReadyCode;
  constructor(code: NotReadyCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Resolves if the service can do its work. Rejects with the reason otherwise. */
export type ReadyCheck = () => Promise<void>;

/** Age at which the answer of a check is no longer used, in milliseconds. */
const maxAgeMs = 1_000;

/**
 * Returns a check that runs `check` at most once a second, however many callers ask: probes need no
 * credentials. Callers at the same time share one run. An answer describes the state of at most a second ago.
 */
export function shareReadyCheck(check: ReadyCheck, now: () => number = () => performance.now()): ReadyCheck {
  let last: { result: Promise<void>; endedAt: number | undefined } | undefined;
  return () => {
    if (last !== undefined && (last.endedAt === undefined || now() - last.endedAt < maxAgeMs)) {
      return last.result;
    }
    const run: typeof last = { result: check(), endedAt: undefined };
    const end = (): void => {
      run.endedAt = now();
    };
    run.result.then(end, end);
    last = run;
    return run.result;
  };
}

export function registerHealth(app: FastifyInstance, ready: ReadyCheck, log: Logger): void {
  /** The reason that was logged last; undefined while the service is ready. */
  let logged: string | undefined;
  app.get('/health/live', async () => ({ status: 'live' }));
  app.get('/health/ready', async (_request, reply) => {
    try {
      await ready();
      logged = undefined;
      return { status: 'ready' };
    } catch (error) {
      const code = error instanceof NotReadyError ? error.code : 'database_unavailable';
      const reason = errorMessage(error);
      if (reason !== logged) log.warn({ code, reason }, 'not ready');
      logged = reason;
      return reply.code(503).send({ status: 'not ready', code });
    }
  });
}
