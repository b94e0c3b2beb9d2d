/** Tools that read tasks: a list, one task, and what its steps have recorded. timeline.ts has what it did. */
import type { JsonObject } from '../../domain/message.ts';
import { operatorExtension } from '../../domain/scopes.ts';
import { toStateName } from '../../domain/task.ts';
import {
  tasksExtension,
  type OpsStep,
  type OpsSteps,
  type OpsTask,
  type SearchPage,
} from '../../domain/views.ts';
import { createAnswer, cut, describeHeld, line, quantity, quoteNote } from '../answer.ts';
import { RouteError, ToolError } from '../errors.ts';
import {
  defaultPageSize,
  ownerArguments,
  pageArguments,
  stateNames,
  taskId,
  toOwnerQuery,
  toState,
} from '../routes.ts';
import { parseStep } from '../step-name.ts';
import { parseSince, sinceHint } from '../time.ts';
import { count, defineTool, objects, reads, text, texts } from '../tool.ts';
import { fitContents, maxContentChars } from './task-contents.ts';

export const listTasks = defineTool({
  name: 'ops_list_tasks',
  title: 'List tasks',
  description: `Lists the tasks of one owner, the latest change of state first, with their last error, the text of their status (the reason of a failure, a question or progress), and why a task is held back: by a limit, its start time, or a failure. ${quoteNote}`,
  effect: reads,
  args: {
    state: { type: 'string', description: 'Only tasks in this state.', choices: stateNames },
    since: { type: 'string', description: `Only tasks whose state changed since. ${sinceHint}` },
    error: { type: 'string', description: 'Only tasks whose last error contains this text.' },
    webhook: {
      type: 'string',
      description: 'Only tasks with a webhook that is failing or disabled.',
      choices: ['failing', 'disabled'],
    },
    ...ownerArguments,
    ...pageArguments,
  },
  output: { tasks: objects, nextPageToken: text },
  run: async (args, callRoute) => {
    const { state, since, error, webhook, pageSize = defaultPageSize, pageToken } = args;
    const page = (await callRoute({
      method: 'GET',
      extension: tasksExtension,
      route: '/search',
      query: {
        ...toOwnerQuery(args),
        state: state && toState(state),
        statusSince: since && parseSince(since),
        error,
        webhook,
        pageSize,
        pageToken,
      },
    })) as SearchPage;
    const tasks = page.tasks.map(
      ({ taskId, contextId, state: own, createdAt, statusAt, webhook: health, held, ...texts }) => ({
        taskId,
        contextId,
        state: toStateName(own),
        createdAt,
        statusAt,
        ...(health !== undefined && { webhook: health }),
        ...(held !== undefined && { held: { ...held } }),
        ...(texts.statusText !== undefined && { statusText: texts.statusText }),
        ...(texts.lastError !== undefined && { lastError: cut(texts.lastError) }),
      }),
    );
    const { nextPageToken } = page;
    const lines = tasks.map((task) =>
      line(
        task.taskId,
        task.state,
        `since ${task.statusAt}`,
        task.webhook && `webhook ${task.webhook}`,
        describeHeld(task.held),
        task.statusText && `says: ${task.statusText}`,
        task.lastError && `last error: ${task.lastError}`,
      ),
    );
    const more = nextPageToken === '' ? [] : [`There are more: pass pageToken ${nextPageToken}`];
    const data: JsonObject = { tasks, ...(nextPageToken !== '' && { nextPageToken }) };
    return createAnswer(data, [`${quantity(tasks.length, 'task')}.`, ...more], lines);
  },
});

const maxChars = {
  type: 'integer',
  description: 'Characters of each text. Default: 2000.',
  min: 1,
  max: 20_000,
} as const;

export const getTask = defineTool({
  name: 'ops_get_task',
  title: 'Get task',
  description: `Returns a task of any owner: its owner and tenant, state, last error, why it is held back, the message of its turn, its artifacts, and its status message: an answer, a question, the calls that wait for approval, or the reason of a failure. ${quoteNote}`,
  effect: reads,
  args: { taskId, maxChars },
  output: {
    taskId: text,
    tenant: text,
    owner: text,
    state: text,
    lastError: text,
    turn: count,
    artifacts: objects,
    artifactsLeftOut: count,
    leftOut: texts,
  },
  run: async ({ taskId, maxChars }, callRoute) => {
    const call = { method: 'GET', extension: operatorExtension, route: '/ops/tasks/:taskId' } as const;
    const whole = (await callRoute({ ...call, path: { taskId }, query: { maxChars } })) as OpsTask;
    const { task, leftOut } = fitContents(whole);
    const { message, statusMessage, lastError, state, held, artifacts, artifactsLeftOut: _, ...head } = task;
    const fields = Object.entries(head).map(([name, value]) => `${name}: ${String(value)}`);
    return createAnswer(
      { ...task, state: toStateName(state), ...(leftOut.length > 0 && { leftOut }) },
      [
        `Task ${taskId} is ${toStateName(state)}.`,
        ...(leftOut.length === 0 ? [] : [`Left out: ${leftOut.join(', ')}. ${howToReadMore(taskId)}`]),
      ],
      [
        ...fields,
        ...(held === undefined ? [] : [line(describeHeld(held))]),
        ...(lastError === undefined ? [] : [`lastError: ${lastError}`]),
        `message: ${JSON.stringify(message?.parts ?? [])}`,
        ...(statusMessage === undefined ? [] : [`status message: ${JSON.stringify(statusMessage.parts)}`]),
        ...artifacts.map(({ name, artifactId, parts }) =>
          line('artifact', `${name ?? artifactId}:`, JSON.stringify(parts)),
        ),
      ],
    );
  },
});

function howToReadMore(taskId: string): string {
  return `Contents have at most ${maxContentChars} characters here. With a lower maxChars, each text is shorter and more of them fit. GET /ops/tasks/${taskId} of the operator extension returns more, and GetTask returns all to the owner.`;
}

export const getSteps = defineTool({
  name: 'ops_steps',
  title: 'Steps of a task',
  description: `Returns what the steps of one turn have recorded: the output of each, and for calls of tools by a model their arguments as input. A step that failed has recorded nothing: ops_timeline has the error of its attempt. ${quoteNote}`,
  effect: reads,
  args: {
    taskId,
    turn: { type: 'integer', description: 'The number of the turn. Default: the newest.', min: 1 },
    step: {
      type: 'string',
      description: 'Only this step: NAME, or NAME#2 for its third run, as ops_timeline names it.',
    },
    maxChars,
    pageSize: { type: 'integer', description: 'The most steps. Default: 10.', min: 1, max: 50 },
    pageToken: pageArguments.pageToken,
  },
  output: { taskId: text, turn: count, steps: objects, nextPageToken: text },
  run: async ({ taskId, turn, step, maxChars, pageSize = 10, pageToken }, callRoute) => {
    const { name, occurrence } = step === undefined ? {} : parseStep(step);
    const query = { turn, name, occurrence, maxChars, pageSize, pageToken };
    const call = { method: 'GET', extension: operatorExtension, route: '/ops/tasks/:taskId/steps' } as const;
    const page = (await callRoute({ ...call, path: { taskId }, query }).catch((error: unknown) => {
      const isMissing = name !== undefined && error instanceof RouteError && error.status === 404;
      // The message lists the steps that there are, by names that others chose.
      throw isMissing ? new ToolError('Not found.', [error.message]) : error;
    })) as OpsSteps;
    const { steps, nextPageToken } = page;
    const more = nextPageToken === '' ? [] : [`There are earlier ones: pass pageToken ${nextPageToken}`];
    return createAnswer(
      {
        taskId,
        turn: page.turn,
        steps,
        ...(nextPageToken !== '' && { nextPageToken }),
      },
      [`Turn ${page.turn} of task ${taskId}: ${quantity(steps.length, 'step')}.`, ...more],
      steps.flatMap(describeStep),
    );
  },
});

function describeStep({
  name,
  occurrence,
  startedAt,
  endedAt,
  input,
  output,
  cutFromBytes,
}: OpsStep): string[] {
  const state = endedAt === undefined ? `started ${startedAt}, has not ended` : `${startedAt} to ${endedAt}`;
  return [
    `${name}#${occurrence} ${state}`,
    ...(input === undefined ? [] : [`  input: ${input}`]),
    ...(output === undefined ? [] : [`  output: ${output}`]),
    ...(cutFromBytes === undefined ? [] : [`  [cut: the output has ${cutFromBytes} bytes]`]),
  ];
}
