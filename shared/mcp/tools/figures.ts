/** Tools that count: tasks by state, waiting work, and work that makes no progress. */
import { operatorExtension } from '../../domain/scopes.ts';
import { toStateName, type TaskState } from '../../domain/task.ts';
import { tasksExtension, type TaskStats } from '../../domain/views.ts';
import { createAnswer, cut, line, quantity, quoteNote } from '../answer.ts';
import { defaultPageSize, ownerArguments, toOwnerQuery } from '../routes.ts';
import { defineTool, objects, reads } from '../tool.ts';

const object = { type: 'object' };

export const getStats = defineTool({
  name: 'ops_stats',
  title: 'Figures',
  description:
    'Counts the tasks of one owner by state, and returns how long completed ones took. Counts the work of all owners that waits: turns, and webhooks.',
  effect: reads,
  args: ownerArguments,
  output: { states: object, changedInLastHour: object, completion: object, backlog: object },
  run: async (args, callRoute) => {
    const own = {
      method: 'GET',
      extension: tasksExtension,
      route: '/stats',
      query: toOwnerQuery(args),
    } as const;
    const { states, changedInLastHour, completion } = (await callRoute(own)) as TaskStats;
    const all = { method: 'GET', extension: operatorExtension, route: '/ops/backlog' } as const;
    const backlog = (await callRoute(all)) as Record<string, number>;
    const counts = toCounts(states);
    return createAnswer(
      {
        states: counts,
        changedInLastHour: toCounts(changedInLastHour),
        ...(completion !== undefined && { completion }),
        backlog,
      },
      [
        `Tasks: ${join(counts)}`,
        `Changed in the last hour: ${join(toCounts(changedInLastHour))}`,
        ...(completion === undefined
          ? []
          : [`Seconds of the last ${completion.tasks} completed tasks: ${join({ ...completion })}`]),
        `Backlog of all owners: ${join(backlog)}`,
      ],
    );
  },
});

function toCounts(states: Record<TaskState, number>): Record<string, number> {
  const entries = Object.entries(states) as [TaskState, number][];
  return Object.fromEntries(entries.map(([state, tasks]) => [toStateName(state), tasks]));
}

function join(figures: Readonly<Record<string, number>>): string {
  return Object.entries(figures)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

interface Work {
  taskId: string;
  owner: string;
  state: TaskState;
  at: string;
  failures: number;
  lastError?: string;
}

export const getWork = defineTool({
  name: 'ops_work',
  title: 'Work without progress',
  description: `Lists tasks of all owners that make no progress, the oldest first: parked (waiting for capacity of the model), failing (a partner of the agent fails), stalled (the wake-up is late) or overdue (the deadline has passed). ${quoteNote}`,
  effect: reads,
  args: {
    kind: {
      type: 'string',
      description: 'Which tasks.',
      choices: ['parked', 'failing', 'stalled', 'overdue'],
      isRequired: true,
    },
    pageSize: { type: 'integer', description: 'The most entries. Default: 20.', min: 1, max: 100 },
  },
  output: { work: objects },
  run: async ({ kind, pageSize = defaultPageSize }, callRoute) => {
    const call = { method: 'GET', extension: operatorExtension, route: '/ops/work' } as const;
    const found = (await callRoute({ ...call, query: { kind, pageSize } })) as { work: Work[] };
    const work = found.work.map(({ state, lastError, ...entry }) => ({
      ...entry,
      state: toStateName(state),
      ...(lastError !== undefined && { lastError: cut(lastError) }),
    }));
    return createAnswer(
      { work },
      [`${quantity(work.length, 'task is', 'tasks are')} ${kind}.`],
      work.map(({ taskId, owner, state, at, failures, lastError }) =>
        line(
          taskId,
          `of ${owner}`,
          state,
          at,
          `failures ${failures}`,
          lastError && `last error: ${lastError}`,
        ),
      ),
    );
  },
});
