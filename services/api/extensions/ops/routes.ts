/**
 * Routes for operators (docs/extensions/operator.md): waiting work, workers and failures, over all owners. They need the
 * scope `operator`. Other routes show an operator the tasks of an owner, which it names.
 */
import { HttpRequestError } from '../../handler/errors.ts';
import type { FastifyInstance } from 'fastify';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { Db } from '#shared/db/client/pool.ts';
import { readUsageOfOwners } from '#shared/db/ops/usage.ts';
import { readFailingHosts } from '#shared/db/ops/hosts.ts';
import { readModels } from '#shared/db/ops/models.ts';
import { readWork, requestWakeups, workKinds, type WorkKind } from '#shared/db/ops/work.ts';
import { readWorkers, requestDrain } from '#shared/db/ops/workers.ts';
import { listUndeletedCalls } from '#shared/db/models/stored-calls.ts';
import { readBacklog } from '#shared/db/outbox/backlog.ts';
import { reportOwners } from '#shared/db/owners/report.ts';
import { countVersions } from '#shared/db/queue/versions.ts';
import type { OwnerLimits } from '#shared/domain/owner-limits.ts';
import { isUuid } from '#shared/domain/ids.ts';
import type { OwnersUsage } from '#shared/domain/views.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { checkId } from '../../handler/validate/message.ts';
import { maxItems, readTaskIds } from '../body.ts';
import {
  registerExtensionRoutes,
  type ExtensionCall,
  type ExtensionRoute,
  type OpenRoute,
} from '../routes.ts';
import { readDays, readPageSize } from '../tasks/query.ts';
import { getSteps, getTask, stepsParameters, taskParameters } from './task.ts';
import * as schemas from './schemas.ts';
import type { UndeletedJson } from './schemas.ts';

export interface OpsRoutesParts {
  db: Db;
  /** The default limits of owners. */
  ownerLimits: OwnerLimits;
  log: Logger;
}

export const opsRoutes: readonly ExtensionRoute<OpsRoutesParts>[] = (
  [
    {
      method: 'GET',
      path: '/ops/backlog',
      operationId: 'GetBacklog',
      summary: 'Counts the work that waits, and how long it has waited',
      result: schemas.backlog,
      handle: async ({ db }) => readBacklog(db),
    },
    {
      method: 'GET',
      path: '/ops/workers',
      operationId: 'ListWorkers',
      summary: 'Lists the workers that run turns',
      result: schemas.workers,
      handle: async ({ db }) => ({ workers: await readWorkers(db) }),
    },
    {
      method: 'GET',
      path: '/ops/work',
      operationId: 'ListWork',
      summary: 'Lists turns that make no progress, the oldest first',
      query: schemas.workQuery,
      requiredQuery: ['kind'],
      result: schemas.work,
      handle: getWork,
    },
    {
      method: 'GET',
      path: '/ops/models',
      operationId: 'ListModels',
      summary: 'Lists the quotas of models',
      result: schemas.models,
      handle: async ({ db }) => ({ models: await readModels(db) }),
    },
    {
      method: 'GET',
      path: '/ops/hosts',
      operationId: 'ListFailingHosts',
      summary: 'Lists the hosts of webhooks that fail now',
      result: schemas.hosts,
      handle: async ({ db }) => ({ hosts: await readFailingHosts(db) }),
    },
    {
      method: 'GET',
      path: '/ops/owners',
      operationId: 'ListOwners',
      summary: 'Lists the limits of owners and what they use of them',
      query: schemas.ownersQuery,
      result: schemas.owners,
      handle: getOwners,
    },
    {
      method: 'GET',
      path: '/ops/usage',
      operationId: 'GetUsageOfOwners',
      summary: 'Sums tokens and cost by day, of the most costly owners',
      query: schemas.usageQuery,
      result: schemas.usage,
      handle: getOwnersUsage,
    },
    {
      method: 'GET',
      path: '/ops/versions',
      operationId: 'ListVersions',
      summary: 'Lists the versions of the agent that run or have turns, the newest first',
      result: schemas.versions,
      handle: async ({ db }) => ({ versions: await countVersions(db) }),
    },
    {
      method: 'GET',
      path: '/ops/undeleted',
      operationId: 'ListUndeleted',
      summary: 'Lists calls of removed tasks that Google still stores',
      result: schemas.undeleted,
      handle: getUndeleted,
    },
    {
      method: 'GET',
      path: '/ops/tasks/:taskId',
      operationId: 'GetTaskOfAnyOwner',
      summary: 'Reads a task of any owner, with its contents cut',
      query: taskParameters,
      result: schemas.task,
      handle: getTask,
    },
    {
      method: 'GET',
      path: '/ops/tasks/:taskId/steps',
      operationId: 'ListStepsOfAnyOwner',
      summary: 'Lists the recorded steps of a turn with their inputs and outputs, cut',
      query: stepsParameters,
      result: schemas.steps,
      handle: getSteps,
    },
    {
      method: 'POST',
      path: '/ops/turns::wake',
      operationId: 'WakeTurns',
      summary: 'Wakes turns by the ids of their tasks, or those that have stalled',
      body: schemas.wakeBody,
      result: schemas.woken,
      handle: wake,
    },
    {
      method: 'POST',
      path: '/ops/workers::drain',
      operationId: 'DrainWorker',
      summary: 'Asks a worker to finish its turns and stop',
      body: schemas.drainBody,
      result: schemas.drained,
      handle: drain,
    },
  ] satisfies ExtensionRoute<OpsRoutesParts>[]
).map((route) => ({ ...route, scope: 'operator' as const }));

export function registerOpsRoutes(app: FastifyInstance, parts: OpsRoutesParts): OpenRoute[] {
  return registerExtensionRoutes(app, parts, opsRoutes);
}

async function getWork({ db }: OpsRoutesParts, { query }: ExtensionCall): Promise<object> {
  const kind = query.oneOf('kind', workKinds);
  if (kind === undefined) throw new RequestMalformedError(`kind must be one of ${workKinds.join(', ')}`);
  return { work: await readWork(db, kind as WorkKind, readPageSize(query)) };
}

async function getOwners({ db, ownerLimits }: OpsRoutesParts, { query }: ExtensionCall): Promise<object> {
  return { owners: await reportOwners(db, ownerLimits, { all: query.boolean('all') ?? false }) };
}

async function getOwnersUsage({ db }: OpsRoutesParts, { query }: ExtensionCall): Promise<OwnersUsage> {
  const days = readDays(query);
  return { ...days, lines: await readUsageOfOwners(db, days, readPageSize(query)) };
}

/** Model calls of removed tasks that Google still stores. */
async function getUndeleted({ db }: OpsRoutesParts): Promise<{ undeleted: UndeletedJson[] }> {
  const calls = await listUndeletedCalls(db, maxUndeleted);
  return {
    undeleted: calls.map(({ removedAt, nextAt, ...call }) => ({
      ...call,
      removedAt: removedAt.toISOString(),
      ...(nextAt !== null && { nextAt: nextAt.toISOString() }),
    })),
  };
}

const maxUndeleted = 1_000;

/** Wakes turns by their ids, or those that have stalled. */
async function wake({ db }: OpsRoutesParts, { body, addAuditDetails }: ExtensionCall): Promise<object> {
  if ((body['taskIds'] === undefined) === (body['stalled'] !== true)) {
    throw new RequestMalformedError('expected either taskIds, or {"stalled": true}');
  }
  const ids =
    body['stalled'] === true
      ? (await readWork(db, 'stalled', maxWoken)).map(({ taskId }) => taskId)
      : readTaskIds(body).filter(isUuid);
  const taskIds = await requestWakeups(db, ids);
  addAuditDetails(taskIds.length <= maxItems ? { taskIds } : { count: taskIds.length });
  return { taskIds };
}

const maxWoken = 1_000;

async function drain(
  { db, log }: OpsRoutesParts,
  { body, caller, addAuditDetails }: ExtensionCall,
): Promise<object> {
  const { worker } = body;
  if (typeof worker !== 'string') throw new RequestMalformedError('worker must be a string');
  checkId('worker', worker, true);
  addAuditDetails({ worker });
  if (!(await readWorkers(db)).some((each) => each.worker === worker)) {
    throw new HttpRequestError(404, `no worker ${worker} runs a turn: GET /ops/workers lists those that do`);
  }
  await requestDrain(db, [worker]);
  log.info({ worker, owner: caller.owner }, 'drain of a worker requested');
  return { worker };
}
