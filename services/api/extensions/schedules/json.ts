/** Schedules and their history in the JSON of the extension, which contains no secrets. */
import type { Firing } from '#shared/db/schedules/firings.ts';
import type { Schedule } from '#shared/db/schedules/rows.ts';

export function scheduleToJson(schedule: Schedule): object {
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

export function firingToJson({ dueAt, until, count, manual, taskId, reason }: Firing): object {
  return {
    dueAt,
    ...(count > 1 && { until, count }),
    ...(manual && { manual }),
    ...(taskId === null ? { state: 'skipped', reason } : { state: 'started', taskId }),
  };
}
