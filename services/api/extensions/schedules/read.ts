/**
 * Reads and checks the body of a schedule: its times and policies, and the request that it sends, which must be valid
 * for SendMessage.
 */
import type { SendMessageRequest } from '@a2a-js/sdk';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import { messageFromWire } from '#shared/a2a/translate.ts';
import type { ScheduleSettings } from '#shared/db/schedules/store.ts';
import { findCronProblem } from '#shared/db/schedules/times.ts';
import {
  catchUpBounds,
  everyBounds,
  overlapPolicies,
  type OverlapPolicy,
  type Rhythm,
} from '#shared/domain/schedule.ts';
import type { MessageLimits } from '#shared/runtime/config/api.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { withoutSecret } from '#shared/webhooks/options.ts';
import { getCaller } from '../../handler/caller.ts';
import { decodeSendMessage, type Params } from '../../handler/operations.ts';
import type { PushConfigs } from '../../handler/push-configs.ts';
import { checkMediaTypes, type MediaTypes } from '../../handler/validate/media-types.ts';
import { checkMessage } from '../../handler/validate/message.ts';
import { readPriority } from '../priority.ts';
import { scheduleExtension } from '../schedule.ts';
import { getWebhookOptions } from '../webhooks/options.ts';
import { maxCronLength } from './schemas.ts';

export interface ReadParts {
  mediaTypes: MediaTypes;
  messageLimits: MessageLimits;
  pushConfigs: Pick<PushConfigs, 'toRow' | 'verify'>;
}

export interface ReadSchedule extends ScheduleSettings {
  /** Tasks whose existence is not checked yet. */
  referenceTaskIds: readonly string[];
  /** The receiver of webhooks, which is not verified yet. */
  webhookUrl: string | undefined;
}

/**
 * @throws {RequestMalformedError} if the schedule is not valid
 * @throws {ContentTypeNotSupportedError} if the agent does not accept its message
 */
export function readScheduleSettings(
  parts: ReadParts,
  context: ServerCallContext,
  id: string,
  body: Params,
): ReadSchedule {
  const { cron, timeZone, everySeconds, request, overlap, catchUpSeconds, paused } = body;
  const rhythm = readRhythm(cron, timeZone, everySeconds);
  if (paused !== undefined && typeof paused !== 'boolean') {
    throw new RequestMalformedError('paused must be true or false');
  }
  const { message, ...rest } = readRequest(parts, context, request);
  return {
    id,
    rhythm,
    overlap: readOverlap(overlap),
    catchUpSeconds:
      catchUpSeconds === undefined ? 3_600 : readSeconds('catchUpSeconds', catchUpSeconds, catchUpBounds),
    paused: paused ?? false,
    ...rest,
    referenceTaskIds: message.referenceTaskIds,
  };
}

function readRhythm(cron: unknown, timeZone: unknown, everySeconds: unknown): Rhythm {
  if ((cron === undefined) === (everySeconds === undefined)) {
    throw new RequestMalformedError('a schedule needs either cron or everySeconds, and not both');
  }
  if (everySeconds !== undefined) {
    if (timeZone !== undefined) throw new RequestMalformedError('timeZone belongs to cron: omit it');
    return { everySeconds: readSeconds('everySeconds', everySeconds, everyBounds) };
  }
  if (typeof cron !== 'string' || cron.length > maxCronLength) {
    throw new RequestMalformedError(`cron must be a string of at most ${maxCronLength} characters`);
  }
  if (timeZone !== undefined && typeof timeZone !== 'string') {
    throw new RequestMalformedError('timeZone must be a string, such as "Europe/Berlin"');
  }
  const rhythm = { cron: cron.trim().replaceAll(/\s+/g, ' '), timeZone: timeZone ?? 'UTC' };
  const problem = findCronProblem(rhythm, new Date(databaseNow()));
  if (problem !== undefined) throw new RequestMalformedError(problem);
  return rhythm;
}

function readSeconds(name: string, value: unknown, { min, max }: { min: number; max: number }): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  throw new RequestMalformedError(`${name} must be a whole number from ${min} to ${max}`);
}

function readOverlap(value: unknown = 'skip'): OverlapPolicy {
  const policy = overlapPolicies.find((known) => known === value);
  if (policy !== undefined) return policy;
  throw new RequestMalformedError(`overlap must be one of ${overlapPolicies.join(', ')}`);
}

function readRequest(
  { mediaTypes, messageLimits, pushConfigs }: ReadParts,
  context: ServerCallContext,
  json: unknown,
): Pick<ReadSchedule, 'template' | 'toWebhook' | 'webhookUrl'> & {
  message: ReturnType<typeof checkMessage>;
} {
  const request = decodeSendMessage(withMessageId(json), context);
  const wire = checkMessage(request, messageLimits);
  if (wire.taskId !== '') {
    throw new RequestMalformedError('request.message.taskId must be omitted: a schedule starts new tasks');
  }
  checkMetadata(request);
  const acceptedOutputModes = request.configuration?.acceptedOutputModes ?? [];
  checkMediaTypes(mediaTypes, wire, acceptedOutputModes);
  const { messageId: _, taskId: __, ...message } = messageFromWire(wire);
  const webhook = request.configuration?.taskPushNotificationConfig;
  const options = getWebhookOptions(context, request.metadata);
  const { owner } = getCaller(context);
  return {
    message: wire,
    webhookUrl: webhook?.url,
    template: {
      message,
      metadata: withoutSecret(request.metadata) ?? null,
      acceptedOutputModes: acceptedOutputModes.length === 0 ? null : acceptedOutputModes,
      priority: readPriority(request.metadata),
    },
    // Bodies of schedules have the form of A2A 1.0, and so have their webhooks.
    toWebhook: (key) =>
      webhook === undefined ? null : pushConfigs.toRow(webhook, owner, key, '1.0', options),
  };
}

/** Adds the id that a message must have, and that each task of the schedule replaces by its own. */
function withMessageId(json: unknown): Params {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new RequestMalformedError(
      'request must be an object with the message, as the parameters of SendMessage',
    );
  }
  const { message } = json as Params;
  if (typeof message !== 'object' || message === null) return json as Params;
  if ('messageId' in message) {
    throw new RequestMalformedError('request.message.messageId must be omitted: each task gets its own');
  }
  return { ...json, message: { ...message, messageId: 'schedule' } };
}

function checkMetadata({ metadata }: SendMessageRequest): void {
  if (metadata?.[scheduleExtension] === undefined) return;
  throw new RequestMalformedError(
    `request.metadata["${scheduleExtension}"] must be omitted: its times are for one task only`,
  );
}
