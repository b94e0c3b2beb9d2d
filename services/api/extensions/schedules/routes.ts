/**
 * The schedules extension (docs/extensions/schedules.md), with which owners create schedules and see what happened at
 * their due times.
 */
import { RequestMalformedError, TaskNotFoundError } from '@a2a-js/sdk/errors';
import type { FastifyInstance } from 'fastify';
import type { Encryptor } from '#shared/crypto/encryption.ts';
import type { Db } from '#shared/db/client/pool.ts';
import type { GetOwnerLimits } from '#shared/db/owners/limits.ts';
import { listFirings } from '#shared/db/schedules/firings.ts';
import { runScheduleNow } from '#shared/db/schedules/run-now.ts';
import {
  deleteSchedule,
  getSchedule,
  listSchedules,
  putSchedule,
  setPaused,
} from '#shared/db/schedules/store.ts';
import { createScheduledTask, readCurrentAgent } from '#shared/db/schedules/task.ts';
import { findMissing } from '#shared/db/tasks/read.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { createCopyWebhook } from '#shared/outbox/schedules.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { HttpRequestError, UnavailableError } from '../../handler/errors.ts';
import { checkId } from '../../handler/validate/message.ts';
import { object } from '../../http/openapi/schema.ts';
import type { OwnerQuotas } from '../../limits/owner-quotas.ts';
import { refuse } from '../../limits/quota-error.ts';
import { registerExtensionRoutes, type ExtensionCall, type ExtensionRoute } from '../routes.ts';
import { pageParameters, readPageSize } from '../tasks/query.ts';
import { firingToJson, scheduleToJson } from './json.ts';
import { readScheduleSettings, type ReadParts } from './read.ts';
import * as schemas from './schemas.ts';

export interface ScheduleRoutesParts extends ReadParts {
  db: Db;
  outbox: OutboxPublisher;
  encryptor: Encryptor;
  getLimits: GetOwnerLimits;
  quotas: OwnerQuotas;
  /** Stores the agent definition if that has not happened yet. */
  storeDefinition: () => Promise<unknown>;
  wakeupGraceSeconds: number;
  log: Logger;
}

type Handle = (parts: ScheduleRoutesParts, call: ScheduleCall) => Promise<object>;

interface ScheduleCall extends ExtensionCall {
  /** Empty for the list. */
  id: string;
}

const one = '/schedules/:id';
export const scheduleRoutes: readonly ExtensionRoute<ScheduleRoutesParts>[] = [
  {
    method: 'GET',
    path: '/schedules',
    operationId: 'ListSchedules',
    summary: "Lists the caller's schedules",
    query: pageParameters,
    result: schemas.schedulePage,
    handle: withId(list),
  },
  {
    method: 'PUT',
    path: one,
    operationId: 'PutSchedule',
    summary: 'Creates or replaces a schedule',
    body: schemas.scheduleBody,
    result: schemas.schedule,
    handle: withId(put),
  },
  {
    method: 'GET',
    path: one,
    operationId: 'GetSchedule',
    summary: 'Reads a schedule',
    result: schemas.schedule,
    handle: withId(get),
  },
  {
    method: 'DELETE',
    path: one,
    operationId: 'DeleteSchedule',
    summary: 'Deletes a schedule; its tasks stay',
    result: object({}),
    handle: withId(remove),
  },
  {
    method: 'GET',
    path: `${one}/firings`,
    operationId: 'ListFirings',
    summary: 'Lists what happened at the due times of a schedule, the newest first',
    query: pageParameters,
    result: schemas.firingPage,
    handle: withId(history),
  },
  {
    method: 'POST',
    path: `${one}/pause`,
    operationId: 'PauseSchedule',
    summary: 'Pauses a schedule',
    result: schemas.schedule,
    handle: withId((parts, call) => pause(parts, call, true)),
  },
  {
    method: 'POST',
    path: `${one}/resume`,
    operationId: 'ResumeSchedule',
    summary: 'Resumes a schedule from now',
    result: schemas.schedule,
    handle: withId((parts, call) => pause(parts, call, false)),
  },
  {
    method: 'POST',
    path: `${one}/run`,
    operationId: 'RunSchedule',
    summary: 'Starts a task of a schedule now',
    result: schemas.startedTask,
    handle: withId(runNow),
  },
];

export function registerScheduleRoutes(app: FastifyInstance, parts: ScheduleRoutesParts): void {
  registerExtensionRoutes(app, parts, scheduleRoutes);
}

/** @throws {RequestMalformedError} if the id in the path is not valid */
function withId(handle: Handle): ExtensionRoute<ScheduleRoutesParts>['handle'] {
  return async (parts, call) => {
    const { id } = call.path;
    if (id !== undefined) checkScheduleId(id);
    return handle(parts, { ...call, id: id ?? '' });
  };
}

async function put(parts: ScheduleRoutesParts, { caller, context, id, body }: ScheduleCall): Promise<object> {
  const { db, getLimits } = parts;
  const { referenceTaskIds, webhookUrl, ...settings } = readScheduleSettings(parts, context, id, body);
  const missing = await findMissing(db, caller, referenceTaskIds);
  if (missing !== undefined) {
    throw new TaskNotFoundError(`task ${missing} in request.message.referenceTaskIds was not found`);
  }
  if (webhookUrl !== undefined) await parts.pushConfigs.verify(webhookUrl, caller.owner);
  const { schedules: max } = await getLimits(caller.owner);
  const result = await putSchedule(db, caller, settings, max);
  if (result.kind === 'too_many') {
    throw refuse(caller.owner, { limit: 'schedules', used: result.used, max, wanted: 1 });
  }
  return scheduleToJson(result.schedule);
}

async function list({ db }: ScheduleRoutesParts, { caller, query }: ScheduleCall): Promise<object> {
  const size = readPageSize(query);
  const after = Buffer.from(query.string('pageToken') ?? '', 'base64url').toString();
  checkId('pageToken', after, false);
  const { schedules, next = '' } = await listSchedules(db, caller, { size, after });
  return {
    schedules: schedules.map(scheduleToJson),
    nextPageToken: Buffer.from(next).toString('base64url'),
  };
}

async function get({ db }: ScheduleRoutesParts, { caller, id }: ScheduleCall): Promise<object> {
  return scheduleToJson((await getSchedule(db, caller, id)) ?? raiseNotFound(id));
}

async function remove({ db }: ScheduleRoutesParts, { caller, id }: ScheduleCall): Promise<object> {
  return (await deleteSchedule(db, caller, id)) ? {} : raiseNotFound(id);
}

async function pause(
  { db }: ScheduleRoutesParts,
  { caller, id }: ScheduleCall,
  paused: boolean,
): Promise<object> {
  return scheduleToJson((await setPaused(db, caller, id, paused)) ?? raiseNotFound(id));
}

async function history({ db }: ScheduleRoutesParts, { caller, id, query }: ScheduleCall): Promise<object> {
  const size = readPageSize(query);
  const token = query.string('pageToken') ?? '';
  if (!/^\d{0,14}$/.test(token)) {
    throw new RequestMalformedError('pageToken is not valid: pass nextPageToken of the previous page');
  }
  const before = token === '' ? undefined : new Date(Number(token));
  const page = (await listFirings(db, caller, id, { size, before })) ?? raiseNotFound(id);
  const nextPageToken = page.next === undefined ? '' : String(page.next.getTime());
  return { firings: page.firings.map(firingToJson), nextPageToken };
}

async function runNow(parts: ScheduleRoutesParts, { caller, id }: ScheduleCall): Promise<object> {
  const { db, outbox, quotas, wakeupGraceSeconds } = parts;
  const schedule = (await getSchedule(db, caller, id)) ?? raiseNotFound(id);
  await parts.storeDefinition();
  const agent = await readCurrentAgent(db);
  if (agent === undefined) throw new UnavailableError();
  const copyWebhook = createCopyWebhook(parts.encryptor);
  const { bytes, webhook } = createScheduledTask(schedule, new Date(databaseNow()), agent, copyWebhook);
  const wanted = {
    turn: true,
    openTasks: 1,
    storedBytes: bytes,
    webhookConfigs: webhook === null ? 0 : 1,
  };
  const started = await quotas.store(caller.owner, wanted, {
    run: () => runScheduleNow(db, caller, id, { agent, copyWebhook, wakeupGraceSeconds }),
    isStored: (result) => result !== undefined,
  });
  const { taskId, wakeups } = started ?? raiseNotFound(id);
  outbox.publish(wakeups);
  return { taskId };
}

/** Ids are segments of paths: RFC 3986, section 2.3, without escapes. */
function checkScheduleId(id: string): void {
  if (/^[\w.~-]{1,128}$/.test(id) && !/^\.+$/.test(id)) return;
  throw new RequestMalformedError(
    'the id of the schedule is not valid: use 1 to 128 letters, digits and -._~ but not only dots',
  );
}

function raiseNotFound(id: string): never {
  throw new HttpRequestError(404, `schedule ${id} was not found`);
}
