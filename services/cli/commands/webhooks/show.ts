/** `longhaul webhooks list` and `longhaul webhooks deliveries`. */
import { Option, type Command } from 'commander';
import type { Agent } from '../../agent/connect.ts';
import { exitStatus } from '../../failure.ts';
import { printJson, printTable } from '../../output/terminal.ts';
import { runOnAgent } from '../../run.ts';
import { addAgentOptions, type AgentOptions } from '../../settings/settings.ts';
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
  addAgentOptions(command)
    .addHelpText(
      'after',
      '\nExamples:\n  longhaul webhooks list TASK_ID\n  longhaul webhooks list --health disabled',
    )
    .action((task: string | undefined, options: ListOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const webhooks = task === undefined ? await listAll(agent, options) : await listWebhooks(agent, task);
        const taskHead = task === undefined ? ['TASK'] : [];
        const head = [...taskHead, 'WEBHOOK', 'EVENTS', 'STATE', 'FAILURES', 'URL'];
        if (options.json) for (const webhook of webhooks) printJson(webhook);
        else printTable(head, webhooks.map(webhookToRow));
        return exitStatus.done;
      }),
    );
}

async function listAll(agent: Agent, { health, host, limit }: ListOptions): Promise<WebhookJson[]> {
  const all: WebhookJson[] = [];
  let pageToken = '';
  do {
    const query = new URLSearchParams({
      pageSize: String(Math.min(100, limit - all.length)),
      pageToken,
      ...(health !== undefined && { health }),
      ...(host !== undefined && { host }),
    });
    const page = await getFromWebhook<{ webhooks: WebhookJson[]; nextPageToken: string }>(
      agent,
      `/webhooks?${query.toString()}`,
    );
    all.push(...page.webhooks);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && all.length < limit);
  return all;
}

function webhookToRow(webhook: WebhookJson): string[] {
  const { taskId, id, events, state, health, failuresInARow, nextAttemptAt, disabledReason, url } = webhook;
  const retry = nextAttemptAt === undefined ? '' : `, next ${nextAttemptAt}`;
  const reason = disabledReason === undefined ? '' : ` (${disabledReason})`;
  const first = taskId === undefined ? [] : [taskId];
  return [...first, id, events, health ?? state, `${failuresInARow}${retry}`, `${url}${reason}`];
}

export function addDeliveriesCommand(group: Command): void {
  const command = addWebhookArguments(group.command('deliveries'))
    .description('List the deliveries of a webhook, those of the newest events first.')
    .option('--state <state>', 'only pending, delivered, failed, cancelled or merged ones')
    .option('--limit <count>', 'at most so many deliveries', parseCount(10_000), 20);
  addAgentOptions(command)
    .addHelpText('after', '\nExamples:\n  longhaul webhooks deliveries TASK_ID --state failed')
    .action((task: string, options: DeliveriesOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const path = await findWebhookPath(agent, task, options.webhook);
        const deliveries = await listDeliveries(agent, path, options);
        if (options.json) for (const delivery of deliveries) printJson(delivery);
        else printTable(['EVENT', 'STATE', 'CREATED', 'ATTEMPTS', 'LAST'], deliveries.map(deliveryToRow));
        return exitStatus.done;
      }),
    );
}

async function listDeliveries(
  agent: Agent,
  path: string,
  { state, limit }: DeliveriesOptions,
): Promise<DeliveryJson[]> {
  const all: DeliveryJson[] = [];
  let pageToken = '';
  do {
    const query = new URLSearchParams({ pageSize: String(Math.min(100, limit - all.length)), pageToken });
    if (state !== undefined) query.set('state', state);
    const page = await getFromWebhook<{ deliveries: DeliveryJson[]; nextPageToken: string }>(
      agent,
      `${path}/deliveries?${query.toString()}`,
    );
    all.push(...page.deliveries);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && all.length < limit);
  return all;
}

function deliveryToRow({ event, state, createdAt, dueAt, deferredReason, attempts }: DeliveryJson): string[] {
  const last = attempts.at(-1);
  const result = last === undefined ? '' : String(last.status ?? last.error);
  const reason = deferredReason === undefined ? '' : ` (${deferredReason})`;
  const due = dueAt === undefined ? '' : `due ${dueAt}${reason}`;
  const outcome = [result, due].filter(Boolean).join(', ');
  return [event === undefined ? 'test' : String(event), state, createdAt, String(attempts.length), outcome];
}
