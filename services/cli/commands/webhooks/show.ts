/** `longhaul webhooks list` and `longhaul webhooks deliveries`. */
import { Option, type Command } from 'commander';
import type { Agent } from '../../agent/connect.ts';
import { listPages } from '../../agent/rest.ts';
import { exitStatus } from '../../failure.ts';
import { printRows } from '../../output/terminal.ts';
import { runOnAgent } from '../../run.ts';
import { addAgentOptions, addOwnerOption, type AgentOptions } from '../../settings/settings.ts';
import { parseCount } from '../../settings/values.ts';
import {
  addWebhookArguments,
  findWebhookPath,
  getFromWebhook,
  listWebhooks,
  type WebhookJson,
  type WebhookOptions,
} from './route.ts';

interface DeliveryJson {
  /** Absent: a test. */
  event?: number;
  state: string;
  createdAt: string;
  dueAt?: string;
  deferredReason?: string;
  attempts: { status?: number; error?: string }[];
}

interface DeliveriesOptions extends WebhookOptions {
  state?: string;
  limit: number;
}

interface ListOptions extends AgentOptions {
  health?: string;
  host?: string;
  limit: number;
}

export function addListCommand(group: Command): void {
  const command = group
    .command('list')
    .description('List the webhooks of a task, or of all tasks with the worst first.')
    .argument('[task]', 'id of the task; without it, those of all tasks')
    .addOption(
      new Option('--health <health>', 'without a task: only webhooks with this health').choices([
        'ok',
        'failing',
        'disabled',
      ]),
    )
    .option('--host <host>', 'without a task: only webhooks of this receiver, such as example.com')
    .option('--limit <count>', 'without a task: maximum number of webhooks', parseCount(10_000), 20);
  addAgentOptions(addOwnerOption(command))
    .addHelpText(
      'after',
      '\nExamples:\n  longhaul webhooks list TASK_ID\n  longhaul webhooks list --health disabled',
    )
    .action((task: string | undefined, options: ListOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const webhooks = task === undefined ? await listAll(agent, options) : await listWebhooks(agent, task);
        const head = ['WEBHOOK', 'EVENTS', 'STATE', 'FAILURES', 'URL'];
        printRows(
          webhooks,
          task === undefined
            ? { json: options.json, head: ['TASK', ...head], toRow: webhookOfAnyTaskToRow }
            : { json: options.json, head, toRow: webhookToRow },
        );
        return exitStatus.done;
      }),
    );
}

function listAll(agent: Agent, { health, host, limit }: ListOptions): Promise<WebhookJson[]> {
  const filter = { ...(health !== undefined && { health }), ...(host !== undefined && { host }) };
  return listPages(limit, async (query) => {
    const path = `/webhooks?${new URLSearchParams({ ...filter, ...query }).toString()}`;
    const page = await getFromWebhook<{ webhooks: WebhookJson[]; nextPageToken: string }>(agent, path);
    return { ...page, entries: page.webhooks };
  });
}

function webhookOfAnyTaskToRow(webhook: WebhookJson): string[] {
  const { taskId = '', health = webhook.state } = webhook;
  return [taskId, ...webhookToRow({ ...webhook, state: health })];
}

function webhookToRow(webhook: WebhookJson): string[] {
  const { id, events, state, failuresInARow, nextAttemptAt, disabledReason, url } = webhook;
  const retry = nextAttemptAt === undefined ? '' : `, next ${nextAttemptAt}`;
  const reason = disabledReason === undefined ? '' : ` (${disabledReason})`;
  return [id, events, state, `${failuresInARow}${retry}`, `${url}${reason}`];
}

export function addDeliveriesCommand(group: Command): void {
  const command = addWebhookArguments(group.command('deliveries'))
    .description('List the deliveries of a webhook, those of the newest events first.')
    .option('--state <state>', 'only pending, delivered, failed, cancelled or merged ones')
    .option('--limit <count>', 'at most so many deliveries', parseCount(10_000), 20);
  addAgentOptions(addOwnerOption(command))
    .addHelpText('after', '\nExamples:\n  longhaul webhooks deliveries TASK_ID --state failed')
    .action((task: string, options: DeliveriesOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const path = await findWebhookPath(agent, task, options.webhook);
        const deliveries = await listDeliveries(agent, path, options);
        const head = ['EVENT', 'STATE', 'CREATED', 'ATTEMPTS', 'LAST'];
        printRows(deliveries, { json: options.json, head, toRow: deliveryToRow });
        return exitStatus.done;
      }),
    );
}

function listDeliveries(
  agent: Agent,
  path: string,
  { state, limit }: DeliveriesOptions,
): Promise<DeliveryJson[]> {
  const filter = state === undefined ? {} : { state };
  return listPages(limit, async (query) => {
    const below = `${path}/deliveries?${new URLSearchParams({ ...filter, ...query }).toString()}`;
    const page = await getFromWebhook<{ deliveries: DeliveryJson[]; nextPageToken: string }>(agent, below);
    return { ...page, entries: page.deliveries };
  });
}

function deliveryToRow({ event, state, createdAt, dueAt, deferredReason, attempts }: DeliveryJson): string[] {
  const last = attempts.at(-1);
  const result = last === undefined ? '' : String(last.status ?? last.error);
  const reason = deferredReason === undefined ? '' : ` (${deferredReason})`;
  const due = dueAt === undefined ? '' : `due ${dueAt}${reason}`;
  const outcome = [result, due].filter(Boolean).join(', ');
  return [event === undefined ? 'test' : String(event), state, createdAt, String(attempts.length), outcome];
}
