/** `longhaul webhooks redeliver`, `test` and `rotate-secret`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Option, type Command } from 'commander';
import type { Agent } from '../../agent/connect.ts';
import { exitStatus, usageError } from '../../failure.ts';
import { print, printJson, printProgress } from '../../output/terminal.ts';
import { runOnAgent } from '../../run.ts';
import { addAgentOptions, addOwnerOption } from '../../settings/settings.ts';
import { parseCount, parsePastTime, parseSeconds } from '../../settings/values.ts';
import { addWebhookArguments, findWebhookPath, postToWebhook, type WebhookOptions } from './route.ts';

interface RedeliverOptions extends WebhookOptions {
  event?: number;
  since?: string;
  health?: string;
  host?: string;
  dryRun?: boolean;
}

export function addRedeliverCommand(group: Command): void {
  const command = addWebhookArguments(group.command('redeliver'), '[task]')
    .description('Deliver events of a webhook, or of all failing ones, again. A disabled webhook is enabled.')
    .option('--event <number>', 'this event', parseCount(999_999_999))
    .option(
      '--since <time>',
      'all events that failed since this time, such as 2030-01-31T08:00:00Z or 10m',
      parsePastTime,
    )
    .addOption(
      new Option('--health <health>', 'without a task: only webhooks with this health').choices([
        'failing',
        'disabled',
      ]),
    )
    .option('--host <host>', 'without a task: only webhooks of this receiver, such as example.com')
    .option('--dry-run', 'without a task: only count');
  addAgentOptions(addOwnerOption(command))
    .addHelpText(
      'after',
      `
Examples:
  longhaul webhooks redeliver TASK_ID --event 3
  longhaul webhooks redeliver TASK_ID --since 2030-01-31T08:00:00Z
  longhaul webhooks redeliver --since 2030-01-31T08:00:00Z --host example.com --dry-run`,
    )
    .action((task: string | undefined, options: RedeliverOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const count =
          task === undefined ? await redeliverAll(agent, options) : await redeliver(agent, task, options);
        if (options.json) printJson({ count });
        else print(options.dryRun ? `${count} would be delivered` : `${count} to be delivered`);
        return exitStatus.done;
      }),
    );
}

async function redeliver(agent: Agent, task: string, options: RedeliverOptions): Promise<number> {
  const { event, since, health, host, dryRun } = options;
  if (health !== undefined || host !== undefined || dryRun !== undefined) {
    throw usageError(
      '--health, --host and --dry-run are for the webhooks of all tasks, without a task. With a task, expected --event <number> or --since <time>, and --webhook <id> if it has several',
    );
  }
  if ((event === undefined) === (since === undefined))
    throw usageError('with a task, expected either --event <number> or --since <time>');
  const path = await findWebhookPath(agent, task, options.webhook);
  const { count } = await postToWebhook<{ count: number }>(
    agent,
    event === undefined ? `${path}/redeliver` : `${path}/deliveries/${event}/redeliver`,
    since === undefined ? {} : { since },
  );
  return count;
}

/** Redelivers page by page, and waits when the agent asks to. */
async function redeliverAll(agent: Agent, options: RedeliverOptions): Promise<number> {
  const { event, webhook, since, health, host, dryRun = false } = options;
  if (since === undefined)
    throw usageError('expected a task, or --since <time> for the webhooks of all tasks');
  if (event !== undefined || webhook !== undefined)
    throw usageError(
      '--event and --webhook need a task. Without a task, expected --since <time>, and --health, --host or --dry-run',
    );
  let total = 0;
  for (let pageToken = ''; ;) {
    const page = await postToWebhook<{ count: number; nextPageToken: string; retryAfterSeconds?: number }>(
      agent,
      '/webhooks:redeliver',
      {
        since,
        dryRun,
        pageToken,
        ...(health !== undefined && { health }),
        ...(host !== undefined && { host }),
      },
    );
    total += page.count;
    pageToken = page.nextPageToken;
    if (pageToken === '') return total;
    if (page.retryAfterSeconds === undefined) continue;
    printProgress(
      `${total} so far; the limit of requests for webhooks is reached, for ${page.retryAfterSeconds} s`,
    );
    await sleep(page.retryAfterSeconds * 1000);
  }
}

export function addTestCommand(group: Command): void {
  const command = addWebhookArguments(group.command('test')).description('Send a test to a webhook.');
  addAgentOptions(addOwnerOption(command))
    .addHelpText('after', '\nExamples:\n  longhaul webhooks test TASK_ID')
    .action((task: string, options: WebhookOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const path = await findWebhookPath(agent, task, options.webhook);
        const result = await postToWebhook<{ count: number }>(agent, `${path}/test`);
        if (options.json) printJson(result);
        else print('a test is on its way: longhaul webhooks deliveries shows its result');
        return exitStatus.done;
      }),
    );
}

export function addRotateSecretCommand(group: Command): void {
  const command = addWebhookArguments(group.command('rotate-secret'))
    .description('Replace the signing secret of a webhook, and print the new one.')
    .option(
      '--overlap <seconds>',
      'the previous secret also signs for this time (default: a day)',
      parseSeconds,
    );
  addAgentOptions(addOwnerOption(command))
    .addHelpText(
      'after',
      '\nExamples:\n  longhaul webhooks rotate-secret TASK_ID --overlap 3600 > secret.txt',
    )
    .action((task: string, options: WebhookOptions & { overlap?: number }) =>
      runOnAgent(options, async ({ agent }) => {
        const path = await findWebhookPath(agent, task, options.webhook);
        const body = options.overlap === undefined ? {} : { overlapSeconds: options.overlap };
        const result = await postToWebhook<{ secret: string }>(agent, `${path}/secret`, body);
        if (options.json) printJson(result);
        else print(result.secret);
        return exitStatus.done;
      }),
    );
}
