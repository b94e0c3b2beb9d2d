/** `longhaul webhooks redeliver`, `test` and `rotate-secret`. */
import type { Command } from 'commander';
import { exitStatus, usageError } from '../../failure.ts';
import { print, printJson } from '../../output/terminal.ts';
import { runOnAgent } from '../../run.ts';
import { addAgentOptions } from '../../settings/settings.ts';
import { parseCount, parseSeconds, parseTime } from '../../settings/values.ts';
import { addWebhookArguments, findWebhookPath, postToWebhook, type WebhookOptions } from './route.ts';

interface RedeliverOptions extends WebhookOptions {
  event?: number;
  since?: string;
}

export function addRedeliverCommand(group: Command): void {
  const command = addWebhookArguments(group.command('redeliver'))
    .description('Deliver events of a webhook again. A disabled webhook is enabled.')
    .option('--event <number>', 'this event', parseCount(999_999_999))
    .option(
      '--since <time>',
      'all events that failed since this time, such as 2030-01-31T08:00:00Z',
      parseTime,
    );
  addAgentOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  longhaul webhooks redeliver TASK_ID --event 3
  longhaul webhooks redeliver TASK_ID --since 2030-01-31T08:00:00Z`,
    )
    .action((task: string, options: RedeliverOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const { event, since } = options;
        if ((event === undefined) === (since === undefined))
          throw usageError('expected either --event or --since');
        const path = await findWebhookPath(agent, task, options.webhook);
        const { count } = await postToWebhook<{ count: number }>(
          agent,
          event === undefined ? `${path}/redeliver` : `${path}/deliveries/${event}/redeliver`,
          since === undefined ? {} : { since },
        );
        if (options.json) printJson({ count });
        else print(`${count} to be delivered`);
        return exitStatus.done;
      }),
    );
}

export function addTestCommand(group: Command): void {
  const command = addWebhookArguments(group.command('test')).description('Send a test to a webhook.');
  addAgentOptions(command)
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
  addAgentOptions(command)
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
