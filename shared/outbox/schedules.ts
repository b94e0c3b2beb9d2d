/**
 * The loop that starts the tasks of schedules. It sleeps until the next due time, so that tasks start on time, and
 * looks at least once in each interval, because schedules change.
 */
import type { Encryptor } from '../crypto/encryption.ts';
import type { Db } from '../db/client/pool.ts';
import type { GetOwnerLimits } from '../db/owners/limits.ts';
import { fireSchedules, readNextWakeup } from '../db/schedules/fire.ts';
import type { CopyWebhook } from '../db/schedules/task.ts';
import { databaseNow } from '../runtime/clock.ts';
import { instruments } from '../runtime/instruments.ts';
import { errorMessage, type Logger } from '../runtime/log.ts';
import { decryptSecrets, encryptSecrets } from '../webhooks/secrets.ts';
import type { OutboxPublisher } from './publisher.ts';

/** The pause of a process that finds everything claimed that is due. */
const busyMs = 50;

/** Schedules of one transaction. */
const batch = 100;

export interface ScheduleParts {
  db: Db;
  outbox: OutboxPublisher;
  getLimits: GetOwnerLimits;
  /** Undefined in workers, which have no keys: they leave schedules whose webhooks have secrets to dispatchers. */
  encryptor: Encryptor | undefined;
  wakeupGraceSeconds: number;
  log: Logger;
}

/** Runs one pass. Returns the milliseconds until the next schedule is due; undefined: none is known. */
export async function runSchedules(parts: ScheduleParts): Promise<number | undefined> {
  const { db, outbox, getLimits, wakeupGraceSeconds, log } = parts;
  const copyWebhook = parts.encryptor && createCopyWebhook(parts.encryptor);
  const next = await readNextWakeup(db, { copyWebhook });
  if (next === undefined) return undefined;
  const waitMs = next.getTime() - databaseNow();
  if (waitMs > 0) return waitMs;
  const fired = await fireSchedules(db, { getLimits, copyWebhook, wakeupGraceSeconds, limit: batch });
  await outbox.publishAll(fired.wakeups);
  for (const { id, owner, error } of fired.failed) {
    log.error({ schedule: id, owner, error: errorMessage(error) }, 'schedule could not start its task');
  }
  const { started, skipped, latestMs } = fired;
  const outcome = 'longhaul.schedule.outcome';
  if (started > 0) {
    instruments.scheduleFirings.record(started, { [outcome]: 'started' });
    instruments.scheduleDelay.record(latestMs / 1000);
  }
  if (skipped > 0) instruments.scheduleFirings.record(skipped, { [outcome]: 'skipped' });
  // Nothing was free: another process decides what is due. It may be busy when the next schedule is due.
  return fired.examined === 0 ? busyMs : 0;
}

export function createCopyWebhook(encryptor: Encryptor): CopyWebhook {
  return (key, taskId, webhook) => encryptSecrets(encryptor, taskId, decryptSecrets(encryptor, key, webhook));
}
