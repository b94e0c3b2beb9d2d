/** Schemas of the schedules extension, for the OpenAPI document. */
import { ownerLimitNames } from '#shared/domain/owner-limits.ts';
import { catchUpBounds, everyBounds, overlapPolicies, type SkipReason } from '#shared/domain/schedule.ts';
import { nextPage } from '../../http/openapi/a2a/answers.ts';
import { toObject } from '../../http/openapi/a2a/requests.ts';
import {
  anyObject,
  count,
  flag,
  integer,
  list,
  named,
  object,
  oneOf,
  optional,
  orNull,
  text,
  time,
} from '../../http/openapi/schema.ts';
import { message, requestTypes } from '../../handler/validate/request-types.ts';
import type { FiringJson, ScheduleJson } from './json.ts';

export const maxCronLength = 200;

/** A message of a schedule has no id: each task gets its own. */
const messageSchema = named('ScheduledMessage', toObject(message, ['messageId', 'taskId']));
const { configuration } = toObject(requestTypes.SendMessage).properties;

const request = named(
  'ScheduledRequest',
  object({
    message: messageSchema,
    configuration: optional(configuration ?? {}),
    metadata: optional(anyObject),
  }),
);

const timeFields = {
  cron: optional({ ...text, maxLength: maxCronLength, description: 'Either this, or everySeconds.' }),
  timeZone: optional({
    ...text,
    description: 'The time zone of cron, such as Europe/Berlin. Default: UTC.',
  }),
  everySeconds: optional({ ...integer, minimum: everyBounds.min, maximum: everyBounds.max }),
};
const catchUpSeconds = { ...integer, minimum: catchUpBounds.min, maximum: catchUpBounds.max };

export const scheduleBody = object({
  ...timeFields,
  request,
  overlap: optional(oneOf(overlapPolicies)),
  catchUpSeconds: optional({ ...catchUpSeconds, default: 3_600 }),
  paused: optional(flag),
});

export const schedule = named(
  'Schedule',
  object<ScheduleJson>({
    id: text,
    ...timeFields,
    overlap: oneOf(overlapPolicies),
    catchUpSeconds,
    paused: flag,
    request: named(
      'StoredRequest',
      object<ScheduleJson['request']>({
        message: messageSchema as typeof anyObject,
        configuration: optional(
          object<NonNullable<ScheduleJson['request']['configuration']>>({
            acceptedOutputModes: optional(list(text)),
            taskPushNotificationConfig: optional(
              object<{ id: string; url: string }>({ id: text, url: text }),
            ),
          }),
        ),
        metadata: optional(anyObject),
      }),
    ),
    nextAt: optional(time),
    lastTaskId: optional(text),
    createdAt: time,
    updatedAt: time,
  }),
);

export const schedulePage = named(
  'Schedules',
  object({ schedules: list(schedule), nextPageToken: nextPage() }),
);

export const firingPage = named(
  'Firings',
  object({
    firings: list(
      object<FiringJson>({
        dueAt: time,
        until: optional(time),
        count: optional(count),
        manual: optional(flag),
        state: oneOf(['started', 'skipped']),
        taskId: optional(text),
        reason: optional(orNull(oneOf<SkipReason>(['missed', 'overlap', ...ownerLimitNames]))),
      }),
    ),
    nextPageToken: nextPage(),
  }),
);

export const startedTask = named('StartedTask', object({ taskId: text }));
