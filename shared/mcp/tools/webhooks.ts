/** Tools about webhooks: those of all tasks or of one, their deliveries with the last error, and a redelivery. */
import { webhooksExtensionUri } from '../../webhooks/extension.ts';
import { createAnswer, cut, line, quantity, quoteNote } from '../answer.ts';
import type { Values } from '../arguments.ts';
import { RouteError, ToolError } from '../errors.ts';
import {
  defaultPageSize,
  ownerArguments,
  pageArguments,
  readOfTask,
  taskId,
  toOwnerQuery,
} from '../routes.ts';
import { parseSince, sinceHint } from '../time.ts';
import { count, defineTool, objects, reads, text, type CallRoute } from '../tool.ts';

interface Attempt {
  startedAt: string;
  status?: number;
  error?: string;
  responseStart?: string;
}

interface Webhook {
  taskId?: string;
  id: string;
  url: string;
  state: string;
  health?: string;
  failuresInARow: number;
  nextAttemptAt?: string;
  disabledReason?: string;
  lastAttempt?: Attempt;
}

const extension = webhooksExtensionUri;
const ofTask = '/tasks/:taskId/webhooks';
const webhookArgument = {
  type: 'string',
  description: 'The id of the webhook, as ops_webhooks names it, if the task has several.',
} as const;

export const listWebhooks = defineTool({
  name: 'ops_webhooks',
  title: 'Webhooks',
  description: `Lists webhooks with their state and the error of their last attempt: those of one task, or of all tasks of one owner, the worst first. ${quoteNote}`,
  effect: reads,
  args: {
    taskId: { type: 'string', description: 'Only the webhooks of this task.' },
    health: {
      type: 'string',
      description: 'Without taskId: only webhooks with this health.',
      choices: ['ok', 'failing', 'disabled'],
    },
    host: {
      type: 'string',
      description: 'Without taskId: only webhooks of this receiver, such as example.com.',
    },
    ...ownerArguments,
    ...pageArguments,
  },
  output: { webhooks: objects, nextPageToken: text },
  run: async (args, callRoute) => {
    const { taskId, health, host, pageSize = defaultPageSize, pageToken } = args;
    const filter = { health, host, pageSize, pageToken };
    if (
      taskId !== undefined &&
      [health, host, args.pageSize, pageToken].some((value) => value !== undefined)
    ) {
      throw new ToolError(
        'health, host, pageSize and pageToken are for the webhooks of all tasks: omit taskId.',
      );
    }
    const page = (await (taskId === undefined
      ? callRoute({
          method: 'GET',
          extension,
          route: '/webhooks',
          query: { ...toOwnerQuery(args), ...filter },
        })
      : readOfTask(callRoute, { ...args, taskId }, { extension, route: ofTask }))) as {
      webhooks: Webhook[];
      nextPageToken?: string;
    };
    const { webhooks, nextPageToken = '' } = page;
    const shown = webhooks.map((webhook) => ({
      ...webhook,
      ...(webhook.lastAttempt && { lastAttempt: cutAttempt(webhook.lastAttempt) }),
    }));
    return createAnswer(
      { webhooks: shown, ...(nextPageToken !== '' && { nextPageToken }) },
      [
        `${quantity(shown.length, 'webhook')}.`,
        ...(nextPageToken === '' ? [] : [`There are more: pass pageToken ${nextPageToken}`]),
      ],
      shown.map(({ taskId: of, id, url, state, health: own, failuresInARow, disabledReason, lastAttempt }) =>
        line(
          of && `task ${of}`,
          `webhook ${id}`,
          own ?? state,
          url,
          failuresInARow > 0 && `${failuresInARow} failures in a row`,
          disabledReason && `disabled: ${disabledReason}`,
          lastAttempt && `last attempt: ${describeAttempt(lastAttempt)}`,
        ),
      ),
    );
  },
});

interface Delivery {
  /** Absent: a test. */
  event?: number;
  state: string;
  createdAt: string;
  dueAt?: string;
  attempts: Attempt[];
}

export const listDeliveries = defineTool({
  name: 'ops_deliveries',
  title: 'Deliveries of a webhook',
  description: `Lists the deliveries of a webhook of a task, those of the newest events first, with the last attempt: its status or error, and the start of the receiver's answer. ${quoteNote}`,
  effect: reads,
  args: {
    taskId,
    webhook: webhookArgument,
    state: {
      type: 'string',
      description: 'Only deliveries in this state.',
      choices: ['pending', 'delivered', 'failed', 'cancelled', 'merged'],
    },
    ...ownerArguments,
    ...pageArguments,
  },
  output: { webhook: text, deliveries: objects, nextPageToken: text },
  run: async (args, callRoute) => {
    const { state, pageSize = defaultPageSize, pageToken } = args;
    const webhook = await findWebhook(callRoute, args);
    const page = (await readOfTask(callRoute, args, {
      extension,
      route: `${ofTask}/:configId/deliveries`,
      path: { configId: webhook },
      query: { state, pageSize, pageToken },
    }).catch(quoteRefusal)) as { deliveries: Delivery[]; nextPageToken: string };
    const deliveries = page.deliveries.map(({ attempts, ...delivery }) => {
      const last = attempts.at(-1);
      return {
        ...delivery,
        attempts: attempts.length,
        ...(last !== undefined && { lastAttempt: cutAttempt(last) }),
      };
    });
    const { nextPageToken } = page;
    return createAnswer(
      {
        webhook,
        deliveries,
        ...(nextPageToken !== '' && { nextPageToken }),
      },
      [
        `${quantity(deliveries.length, 'delivery', 'deliveries')}.`,
        ...(nextPageToken === '' ? [] : [`There are earlier ones: pass pageToken ${nextPageToken}`]),
      ],
      deliveries.map(({ event, state: own, createdAt, dueAt, attempts, lastAttempt }) =>
        line(
          `webhook ${webhook}`,
          event === undefined ? 'test' : `event ${event}`,
          own,
          createdAt,
          `${attempts} attempts`,
          dueAt && `next ${dueAt}`,
          lastAttempt && `last: ${describeAttempt(lastAttempt)}`,
        ),
      ),
    );
  },
});

function cutAttempt({ error, responseStart, ...attempt }: Attempt): Attempt {
  return {
    ...attempt,
    ...(error !== undefined && { error: cut(error) }),
    ...(responseStart !== undefined && { responseStart: cut(responseStart) }),
  };
}

function describeAttempt({ startedAt, status, error, responseStart }: Attempt): string {
  return line(startedAt, status && `status ${status}`, error, responseStart && `answered: ${responseStart}`);
}

/**
 * Returns the id of the webhook that the arguments name, or of the only one of the task.
 *
 * @throws {ToolError} if the task has none or several
 */
async function findWebhook(
  callRoute: CallRoute,
  args: Values<typeof ownerArguments> & { taskId: string; webhook: string | undefined },
): Promise<string> {
  if (args.webhook !== undefined) return args.webhook;
  const { webhooks } = (await readOfTask(callRoute, args, { extension, route: ofTask })) as {
    webhooks: Webhook[];
  };
  const [only, ...others] = webhooks;
  if (only === undefined) throw new ToolError('The task has no webhook.');
  if (others.length === 0) return only.id;
  const ids = webhooks.map(({ id, url }) => `webhook ${id} ${url}`);
  throw new ToolError(`The task has ${webhooks.length} webhooks: set webhook to the id of one.`, ids);
}

/** Refusals name the webhook, whose id its owner chose. */
function quoteRefusal(error: unknown): never {
  throw error instanceof RouteError ? new ToolError('The request was refused:', [error.message]) : error;
}

export const redeliver = defineTool({
  name: 'ops_redeliver',
  title: 'Deliver again',
  description:
    'Delivers events of one webhook of one task again: one event, or all that failed since a time. The receiver gets them once more, under the same ids. A disabled webhook is enabled.',
  effect: { readOnlyHint: false, destructiveHint: true, idempotentHint: false },
  args: {
    taskId,
    webhook: webhookArgument,
    event: { type: 'integer', description: 'The number of the event. Omit since then.', min: 1 },
    since: { type: 'string', description: `All events that failed since: omit event then. ${sinceHint}` },
    ...ownerArguments,
  },
  output: { webhook: text, count },
  run: async (args, callRoute) => {
    const { taskId, event, since } = args;
    if ((event === undefined) === (since === undefined)) {
      throw new ToolError('Set either event or since.');
    }
    const webhook = await findWebhook(callRoute, args);
    const of = `${ofTask}/:configId`;
    const result = (await callRoute({
      method: 'POST',
      extension,
      route: event === undefined ? `${of}/redeliver` : `${of}/deliveries/:event/redeliver`,
      path: { taskId, configId: webhook, ...(event !== undefined && { event: String(event) }) },
      query: toOwnerQuery(args),
      body: since === undefined ? {} : { since: parseSince(since) },
    }).catch(quoteRefusal)) as { count: number };
    const head = `${quantity(result.count, 'delivery', 'deliveries')} will be repeated: ops_deliveries shows the result.`;
    return createAnswer({ webhook, ...result }, [head], [`webhook ${webhook}`]);
  },
});
