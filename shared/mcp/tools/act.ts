/** Tools that change tasks. They take explicit ids, and the owner of tasks that are not the caller's. */
import { tasksExtension } from '../../domain/views.ts';
import { createAnswer, line, quantity, quoteNote } from '../answer.ts';
import { ToolError } from '../errors.ts';
import { ownerArguments, toOwnerQuery } from '../routes.ts';
import { parseStep } from '../step-name.ts';
import { defineTool, objects, type CallRoute, type RouteCall } from '../tool.ts';

const taskIds = {
  type: 'strings',
  description: 'The ids of the tasks.',
  min: 1,
  max: 100,
  isRequired: true,
} as const;

const dryRun = { type: 'boolean', description: 'Only return what would happen.' } as const;

interface Result {
  taskId: string;
  outcome: string;
  newTaskId?: string;
  message?: string;
  steps?: { name: string; occurrence: number }[];
}

export const rerun = defineTool({
  name: 'ops_rerun',
  title: 'Run again',
  description: `Starts tasks that have ended again, each as a new task with the first message of the old one. With step, runs the current turn of one task that works again from that step: its record from there is removed, and partners that do not know an idempotency key act twice. ${quoteNote}`,
  effect: { readOnlyHint: false, destructiveHint: true, idempotentHint: false },
  args: {
    taskIds,
    step: { type: 'string', description: 'NAME, or NAME#2 for its third run, as ops_timeline names it.' },
    newContext: { type: 'boolean', description: 'Starts the tasks in conversations of their own.' },
    requestId: {
      type: 'string',
      description: 'Makes the call safe to repeat: the same id starts no second task.',
    },
    dryRun,
    ...ownerArguments,
  },
  output: { results: objects },
  run: async (args, callRoute) => {
    const { taskIds, step, newContext, requestId, dryRun = false } = args;
    return change(callRoute, '/tasks::rerun', args, {
      taskIds: [...taskIds],
      dryRun,
      ...(step !== undefined && { fromStep: { ...parseStep(step) } }),
      ...(newContext !== undefined && { newContext }),
      ...(requestId !== undefined && { requestId }),
    });
  },
});

export const cancel = defineTool({
  name: 'ops_cancel',
  title: 'Cancel tasks',
  description: 'Cancels tasks, which is final. Effects that they have had stay.',
  effect: { readOnlyHint: false, destructiveHint: true, idempotentHint: true },
  args: { taskIds, dryRun, ...ownerArguments },
  output: { results: objects },
  run: async (args, callRoute) => {
    const { taskIds, dryRun = false } = args;
    return change(callRoute, '/tasks::cancel', args, { taskIds: [...taskIds], dryRun });
  },
});

/** @throws {ToolError} if nothing has changed */
async function change(
  callRoute: CallRoute,
  route: string,
  args: Parameters<typeof toOwnerQuery>[0],
  body: NonNullable<RouteCall['body']>,
) {
  const call = { method: 'POST', extension: tasksExtension, route, query: toOwnerQuery(args), body } as const;
  const { results } = (await callRoute(call)) as { results: Result[] };
  const lines = results.map(({ taskId, outcome, newTaskId, message, steps }) =>
    line(
      taskId,
      outcome.replaceAll('_', ' '),
      newTaskId && `as ${newTaskId}`,
      steps && `steps ${steps.map(({ name, occurrence }) => `${name}#${occurrence}`).join(', ')}`,
      message,
    ),
  );
  const isFound = results.some(({ outcome }) => outcome !== 'not_found');
  if (!isFound) {
    throw new ToolError(
      'No task was found. If they belong to another owner, set owner and tenant as ops_get_task names them.',
      lines,
    );
  }
  const head =
    body['dryRun'] === true ? 'Nothing was changed. It would be:' : `${quantity(results.length, 'task')}:`;
  return createAnswer({ results }, [head], lines);
}
