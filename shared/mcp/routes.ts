/** Parts that several tools share: the arguments that name a task and its owner, and the requests about it. */
import { operatorExtension } from '../domain/scopes.ts';
import { taskStates, toStateName } from '../domain/task.ts';
import type { Argument, Values } from './arguments.ts';
import { RouteError } from './errors.ts';
import type { CallRoute, RouteCall } from './tool.ts';

export const ownerArguments = {
  owner: {
    type: 'string',
    description: 'The owner of the tasks, such as key:alice, as ops_get_task names it. Default: you.',
  },
  tenant: { type: 'string', description: 'The tenant of the tasks, if they have one.' },
} as const;

export const taskId = { type: 'string', description: 'The id of a task.', isRequired: true } as const;

export const pageArguments = {
  pageSize: { type: 'integer', description: 'The most entries. Default: 20.', min: 1, max: 100 },
  pageToken: {
    type: 'string',
    description: 'The nextPageToken of the answer before, with the same arguments.',
  },
} as const satisfies Record<string, Argument>;

export const defaultPageSize = 20;

type Owned = Values<typeof ownerArguments>;

export function toOwnerQuery({ owner, tenant }: Owned): NonNullable<RouteCall['query']> {
  return { owner, tenant };
}

/**
 * Reads something of a task. Without an owner it is looked for among the tasks of the caller, and then among those of all
 * owners.
 */
export async function readOfTask(
  callRoute: CallRoute,
  args: Owned & { taskId: string },
  call: Omit<RouteCall, 'method' | 'path'> & { path?: Readonly<Record<string, string>> },
): Promise<unknown> {
  const { taskId, owner } = args;
  const read = (of: Owned): Promise<unknown> =>
    callRoute({
      ...call,
      method: 'GET',
      path: { ...call.path, taskId },
      query: { ...call.query, ...toOwnerQuery(of) },
    });
  try {
    return await read(args);
  } catch (error) {
    if (owner !== undefined || !(error instanceof RouteError) || error.status !== 404) throw error;
    const found = await findOwner(callRoute, taskId);
    if (found === undefined) throw error;
    return read(found);
  }
}

/** Returns undefined if the task does not exist. */
async function findOwner(callRoute: CallRoute, taskId: string): Promise<Owned | undefined> {
  try {
    const call = { method: 'GET', extension: operatorExtension, route: '/ops/tasks/:taskId' } as const;
    const { owner, tenant } = (await callRoute({ ...call, path: { taskId } })) as {
      owner: string;
      tenant: string;
    };
    return { owner, tenant: tenant === '' ? undefined : tenant };
  } catch (error) {
    if (error instanceof RouteError && error.status === 404) return undefined;
    throw error;
  }
}

/** The names of states. */
export const stateNames: readonly string[] = taskStates.map(toStateName);

/** @param name one of `stateNames` */
export function toState(name: string): string {
  return `TASK_STATE_${name.toUpperCase().replaceAll('-', '_')}`;
}
