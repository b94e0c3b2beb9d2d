/**
 * Decides what a schedule does now: which due time starts a task, and which are skipped.
 *
 *   due times:  ── missed ──┤ catch-up window ├── now ── next
 *                 skipped        one by one
 *
 * Pure, so that every process decides alike; the transaction that carries it out holds the schedule's row.
 */
import type { OverlapPolicy, Rhythm, SkipReason } from '../../domain/schedule.ts';
import { getNextDue } from './times.ts';

/** Due times that started no task: all from `dueAt` to `until`. */
export interface Skipped {
  dueAt: Date;
  until: Date;
  count: number;
  reason: SkipReason;
}

export interface Plan {
  skipped: Skipped[];
  /** The due time that starts a task now. */
  fire: Date | undefined;
  /** The previous task is canceled first. */
  cancel: boolean;
  /** The first due time that is not decided; undefined: none. */
  nextAt: Date | undefined;
  /** When to look at the schedule again; undefined: never. */
  wakeupAt: Date | undefined;
}

export interface PlanInput {
  rhythm: Rhythm;
  /** The first due time that is not decided. */
  nextAt: Date;
  overlap: OverlapPolicy;
  catchUpSeconds: number;
  /** The previous task of the schedule is open. */
  running: boolean;
}

/** Due times that one pass examines; more follow in the next pass. Keeps the event loop free. */
const maxExamined = 500;

/** How often a due time that waits for the end of the previous task is looked at. */
const queuePollMs = 1_000;

export function planSchedule(schedule: PlanInput, now: Date): Plan {
  const { rhythm, overlap, running } = schedule;
  const skipped: Skipped[] = [];
  let due: Date | undefined = schedule.nextAt;
  let examined = 0;

  /** Skips due times while the condition holds. */
  function skip(reason: SkipReason, condition: (time: Date) => boolean): void {
    const from = due;
    let until = due;
    let count = 0;
    while (due !== undefined && condition(due) && examined < maxExamined) {
      until = due;
      due = getNextDue(rhythm, due);
      count += 1;
      examined += 1;
    }
    if (from !== undefined && until !== undefined && count > 0) {
      skipped.push({ dueAt: from, until, count, reason });
    }
  }
  const isDue = (time: Date | undefined): time is Date => time !== undefined && time <= now;
  const end = (more: Partial<Plan> = {}): Plan => ({
    skipped,
    fire: undefined,
    cancel: false,
    nextAt: due,
    wakeupAt: due,
    ...more,
  });

  const caughtUpFrom = new Date(now.getTime() - schedule.catchUpSeconds * 1000);
  skip('missed', (time) => time < caughtUpFrom);
  if (!isDue(due) || due < caughtUpFrom) return end();
  if (running && overlap === 'skip') {
    skip('overlap', isDue);
    return end();
  }
  if (running && overlap === 'queue') return end({ wakeupAt: new Date(now.getTime() + queuePollMs) });
  // Each of them would only be canceled by the next one.
  if (overlap === 'cancel') skip('overlap', (time) => isDue(getNextDue(rhythm, time)));
  const fire = due;
  due = getNextDue(rhythm, fire);
  return end({ fire, cancel: running && overlap === 'cancel' });
}
