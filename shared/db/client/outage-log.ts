/**
 * Logs outages of the database: one line when an outage starts, one a minute while it lasts, and one when it has
 * ended. Each failed statement by itself would be thousands of lines.
 */
import { errorMessage, type Logger } from '../../runtime/log.ts';

const repeatMs = 60_000;
/** An outage has ended when statements have succeeded, and none has failed, for this time. */
const quietMs = 5_000;

export interface OutageLog {
  failed(error: unknown): void;
  succeeded(): void;
}

export function createOutageLog(log: Logger): OutageLog {
  let outage: { startedAt: number; failures: number; failedAt: number; loggedAt: number } | undefined;

  const toSeconds = (ms: number): number => Math.round(ms / 100) / 10;

  return {
    failed: (error) => {
      const now = performance.now();
      if (outage === undefined) {
        outage = { startedAt: now, failures: 1, failedAt: now, loggedAt: now };
        log.warn({ error: errorMessage(error) }, 'database unavailable');
        return;
      }
      outage.failures += 1;
      outage.failedAt = now;
      if (now - outage.loggedAt < repeatMs) return;
      outage.loggedAt = now;
      const { failures, startedAt } = outage;
      log.warn(
        { error: errorMessage(error), failures, seconds: toSeconds(now - startedAt) },
        'database still unavailable',
      );
    },
    succeeded: () => {
      if (outage === undefined || performance.now() - outage.failedAt < quietMs) return;
      const { failures, startedAt, failedAt } = outage;
      outage = undefined;
      log.info({ failures, seconds: toSeconds(failedAt - startedAt) }, 'database available again');
    },
  };
}
