/** Schedules and their history in the JSON of the extension, which contains no secrets. */
import type { Firing } from '#shared/db/schedules/firings.ts';
import type { Schedule } from '#shared/db/schedules/rows.ts';
import type { OverlapPolicy, ScheduleTemplate, SkipReason } from '#shared/domain/schedule.ts';
import type { JsonObject } from '#shared/domain/message.ts';

export interface ScheduleJson {
  id: string;
  cron?: string;
  timeZone?: string;
  everySeconds?: number;
  overlap: OverlapPolicy;
  catchUpSeconds: number;
  paused: boolean;
  request: {
    message: ScheduleTemplate['message'];
    configuration?: {
      acceptedOutputModes?: string[];
      taskPushNotificationConfig?: { id: string; url: string };
    };
    metadata?: JsonObject;
  };
  /** The first due time that is not decided; absent: none. */
  nextAt?: Date;
  /** The last task that was started. */
  lastTaskId?: string;
  createdAt: Date;
  updatedAt: Date;
}

export function scheduleToJson(schedule: Schedule): ScheduleJson {
  const { id, rhythm, overlap, catchUpSeconds, paused, nextAt, lastTaskId, template, webhook } = schedule;
  const configuration = {
    ...(template.acceptedOutputModes !== null && { acceptedOutputModes: template.acceptedOutputModes }),
    ...(webhook !== null && { taskPushNotificationConfig: { id: webhook.id, url: webhook.url } }),
  };
  return {
    id,
    ...rhythm,
    overlap,
    catchUpSeconds,
    paused,
    request: {
      message: template.message,
      ...(Object.keys(configuration).length > 0 && { configuration }),
      ...(template.metadata !== null && { metadata: template.metadata }),
    },
    ...(nextAt !== null && { nextAt }),
    ...(lastTaskId !== null && { lastTaskId }),
    createdAt: schedule.createdAt,
    updatedAt: schedule.updatedAt,
  };
}

export interface FiringJson {
  dueAt: Date;
  /** The last due time and the number of them, if the row covers several. */
  until?: Date;
  count?: number;
  manual?: boolean;
  state: 'started' | 'skipped';
  taskId?: string;
  reason?: SkipReason | null;
}

export function firingToJson({ dueAt, until, count, manual, taskId, reason }: Firing): FiringJson {
  return {
    dueAt,
    ...(count > 1 && { until, count }),
    ...(manual && { manual }),
    ...(taskId === null ? { state: 'skipped' as const, reason } : { state: 'started' as const, taskId }),
  };
}
