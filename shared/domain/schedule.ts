/** Schedules: messages that start recurring tasks (docs/extensions/schedules.md). */
import type { JsonObject, Message } from './message.ts';
import type { OwnerLimit } from './owner-limits.ts';

export const schedulesExtension = 'https://longhaul.dev/ext/schedules/v1';

/** The times of a schedule: a cron expression in a time zone, or an interval. */
export type Rhythm = { readonly cron: string; readonly timeZone: string } | { readonly everySeconds: number };

/** The bounds of an interval, and of the catch-up window, in seconds. */
export const everyBounds = { min: 10, max: 366 * 86_400 } as const;
export const catchUpBounds = { min: 10, max: 31 * 86_400 } as const;

export const overlapPolicies = ['skip', 'queue', 'cancel', 'allow'] as const;

/** Decides about a due time while the previous task of the schedule is open. */
export type OverlapPolicy = (typeof overlapPolicies)[number];

/** The content of the tasks that a schedule starts, checked like a SendMessage. */
export interface ScheduleTemplate {
  /** Without an id: each task has its own. */
  message: Omit<Message, 'messageId' | 'taskId'>;
  metadata: JsonObject | null;
  acceptedOutputModes: string[] | null;
  priority: number;
}

/** Why a due time started no task: an outage longer than the catch-up window, the previous task, or a limit. */
export type SkipReason = 'missed' | 'overlap' | OwnerLimit;
