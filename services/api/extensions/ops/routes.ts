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
import { checkKnown, readTaskIds } from '../body.ts';
import {
  registerExtensionRoutes,
  type ExtensionCall,
  type ExtensionRoute,
  type OpenRoute,
} from '../routes.ts';
import { readDays, readPageSize } from '../tasks/query.ts';
import { getSteps, getTask, stepsParameters, taskParameters } from './task.ts';

export interface OpsRoutesParts {
  db: Db;
  /** The default limits of owners. */
  ownerLimits: OwnerLimits;
  log: Logger;
}

const routes: readonly ExtensionRoute<OpsRoutesParts>[] = (
  [
    { method: 'GET', path: '/ops/backlog', handle: async ({ db }) => readBacklog(db) },
    { method: 'GET', path: '/ops/workers', handle: async ({ db }) => ({ workers: await readWorkers(db) }) },
    { method: 'GET', path: '/ops/work', query: ['kind', 'pageSize'], handle: getWork },
    { method: 'GET', path: '/ops/models', handle: async ({ db }) => ({ models: await readModels(db) }) },
    { method: 'GET', path: '/ops/hosts', handle: async ({ db }) => ({ hosts: await readFailingHosts(db) }) },
    { method: 'GET', path: '/ops/owners', query: ['all'], handle: getOwners },
    {
      method: 'GET',
      path: '/ops/usage',
      query: ['since', 'until', 'pageSize'],
      handle: getOwnersUsage,
    },
    {
      method: 'GET',
      path: '/ops/versions',
      handle: async ({ db }) => ({ versions: await countVersions(db) }),
    },
    { method: 'GET', path: '/ops/undeleted', handle: getUndeleted },
    { method: 'GET', path: '/ops/tasks/:taskId', query: taskParameters, handle: getTask },
    { method: 'GET', path: '/ops/tasks/:taskId/steps', query: stepsParameters, handle: getSteps },
    { method: 'POST', path: '/ops/turns::wake', handle: wake },
    { method: 'POST', path: '/ops/workers::drain', handle: drain },
  ] satisfies ExtensionRoute<OpsRoutesParts>[]
).map((route) => ({ ...route, scope: 'operator' as const }));

export function registerOpsRoutes(app: FastifyInstance, parts: OpsRoutesParts): OpenRoute[] {
  return registerExtensionRoutes(app, parts, routes);
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
async function getUndeleted({ db }: OpsRoutesParts): Promise<object> {
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
async function wake({ db }: OpsRoutesParts, { body }: ExtensionCall): Promise<object> {
  checkKnown(body, ['taskIds', 'stalled']);
  if ((body['taskIds'] === undefined) === (body['stalled'] !== true)) {
    throw new RequestMalformedError('expected either taskIds, or {"stalled": true}');
  }
  const ids =
    body['stalled'] === true
      ? (await readWork(db, 'stalled', maxWoken)).map(({ taskId }) => taskId)
      : readTaskIds(body).filter(isUuid);
  return { taskIds: await requestWakeups(db, ids) };
}

const maxWoken = 1_000;

async function drain({ db, log }: OpsRoutesParts, { body, caller }: ExtensionCall): Promise<object> {
  checkKnown(body, ['worker']);
  const { worker } = body;
  if (typeof worker !== 'string') throw new RequestMalformedError('worker must be a string');
  checkId('worker', worker, true);
  if (!(await readWorkers(db)).some((each) => each.worker === worker)) {
    throw new HttpRequestError(404, `no worker ${worker} runs a turn: GET /ops/workers lists those that do`);
  }
  await requestDrain(db, [worker]);
  log.info({ worker, owner: caller.owner }, 'drain of a worker requested');
  return { worker };
}
