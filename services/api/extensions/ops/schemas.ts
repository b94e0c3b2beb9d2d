/** Schemas of the routes for operators, for the OpenAPI document. */
import { workKinds, type WorkView } from '#shared/db/ops/work.ts';
import type { HostView } from '#shared/db/ops/hosts.ts';
import type { ModelView } from '#shared/db/ops/models.ts';
import type { OwnerUsageLine } from '#shared/db/ops/usage.ts';
import type { WorkerView } from '#shared/db/ops/workers.ts';
import { backlogGauges, type Backlog } from '#shared/db/outbox/backlog.ts';
import type { VersionCount } from '#shared/db/queue/versions.ts';
import {
  ownerLimitNames,
  type OwnerLimit,
  type OwnerLimits,
  type OwnerReport,
} from '#shared/domain/owner-limits.ts';
import { taskStates } from '#shared/domain/task.ts';
import type { OpsStep, OpsSteps, OpsTask, OwnersUsage } from '#shared/domain/views.ts';
import { artifact, nextPage } from '../../http/openapi/a2a/answers.ts';
import { messageSchema } from '../../http/openapi/a2a/requests.ts';
import {
  count,
  day,
  flag,
  id,
  list,
  named,
  number,
  object,
  oneOf,
  optional,
  orNull,
  record,
  text,
  time,
  type Schema,
} from '../../http/openapi/schema.ts';
import { maxItems } from '../body.ts';
import { dayParameters, pageSizeParameter } from '../tasks/query.ts';
import { held, usageFields } from '../tasks/schemas.ts';

export const backlog: Schema<Backlog> = named('Backlog', record(backlogGauges, number));

export const workers = named(
  'Workers',
  object({
    workers: list(
      object<WorkerView>({
        worker: text,
        turns: count,
        oldestClaimedAt: time,
        firstLeaseUntil: time,
        draining: flag,
      }),
    ),
  }),
);

export const workQuery = { kind: oneOf(workKinds), ...pageSizeParameter };
export const work = named(
  'Work',
  object({
    work: list(
      object<WorkView>({
        taskId: text,
        tenant: text,
        owner: text,
        state: oneOf(taskStates),
        at: time,
        failures: count,
        lastError: optional(text),
      }),
    ),
  }),
);

export const models = named(
  'Models',
  object({ models: list(object<ModelView>({ model: text, waitSeconds: number, parked: count })) }),
);

export const hosts = named(
  'FailingHosts',
  object({
    hosts: list(
      object<HostView>({
        host: text,
        webhooks: count,
        owners: count,
        deliveries: count,
        oldestCreatedAt: time,
      }),
    ),
  }),
);

const limits: Schema<OwnerLimits> = named('OwnerLimits', record(ownerLimitNames, number));
/** Any of the limits. */
const someLimits: Schema<Partial<OwnerLimits>> = named('SomeOwnerLimits', {
  type: 'object',
  properties: Object.fromEntries(ownerLimitNames.map((name) => [name, number])),
});

export const ownersQuery = {
  all: { ...flag, description: 'False: only owners with limits of their own, or near a limit.' },
};
export const owners = named(
  'Owners',
  object({
    owners: list(
      object<OwnerReport>({
        owner: text,
        own: someLimits,
        limits,
        usage: limits,
        near: list(oneOf<OwnerLimit>(ownerLimitNames)),
      }),
    ),
  }),
);

export const usageQuery = { ...dayParameters, ...pageSizeParameter };
export const usage = named(
  'OwnersUsage',
  object<OwnersUsage>({
    since: day,
    until: day,
    lines: list(object<OwnerUsageLine>({ ...usageFields, day, owner: text })),
  }),
);

export const versions = named(
  'Versions',
  object({
    versions: list(object<VersionCount>({ version: text, turns: count, waiting: count, running: flag })),
  }),
);

/** A call that Google still stores. */
export interface UndeletedJson {
  interaction: string;
  removedAt: string;
  attempts: number;
  error: string | null;
  /** Absent: it is not tried again. */
  nextAt?: string;
}

export const undeleted = named(
  'UndeletedCalls',
  object({
    undeleted: list(
      object<UndeletedJson>({
        interaction: text,
        removedAt: time,
        attempts: count,
        error: orNull(text),
        nextAt: optional(time),
      }),
    ),
  }),
);

const message = messageSchema as Schema<never>;

export const task = named(
  'TaskOfAnyOwner',
  object<OpsTask>({
    taskId: text,
    contextId: text,
    state: oneOf(taskStates),
    createdAt: time,
    statusAt: time,
    agent: text,
    lastError: optional(text),
    tenant: text,
    owner: text,
    turn: count,
    worker: optional(text),
    attempts: count,
    failures: count,
    failingSince: optional(time),
    runAt: optional(time),
    deadlineAt: optional(time),
    held: optional(held),
    message: optional(message),
    statusMessage: optional(message),
    artifacts: list(artifact as Schema<never>),
    artifactsLeftOut: count,
  }),
);

const step = object<OpsStep>({
  name: text,
  occurrence: count,
  startedAt: time,
  endedAt: optional(time),
  input: optional(text),
  output: optional(text),
  cutFromBytes: optional(count),
});
export const steps = named(
  'StepsOfAnyOwner',
  object<OpsSteps>({ taskId: text, turn: count, steps: list(step), nextPageToken: nextPage() }),
);

/** Either the ids, or those that have stalled. */
export const wakeBody = object({
  taskIds: optional(list(id, { minItems: 1, maxItems })),
  stalled: optional({ ...flag, description: 'True, without taskIds.' }),
});
export const woken = named(
  'WokenTurns',
  object({ taskIds: { ...list(text), description: 'Those that were woken.' } }),
);

export const drainBody = object({ worker: id });
export const drained = named('DrainedWorker', object({ worker: text }));
