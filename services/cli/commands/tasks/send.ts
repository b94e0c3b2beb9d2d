/** `longhaul send`: sends a message that starts a task. */
import type { Command } from 'commander';
import { usageError, type ExitStatus } from '../../failure.ts';
import { runOnAgent, type Context } from '../../run.ts';
import { checkUrl } from '../../settings/settings.ts';
import { parseTime } from '../../settings/values.ts';
import { createMessage } from './message.ts';
import { addFileOption, addSendOptions, sendAndWait, type SendOptions } from './send-and-wait.ts';

interface Options extends SendOptions {
  file: string[];
  webhook?: string;
  at?: string;
  context?: string;
  messageId?: string;
}

const scheduleExtension = 'https://longhaul.dev/ext/schedule/v1';

export function addSendCommand(program: Command): void {
  const command = program
    .command('send')
    .description('Send a message to an agent.')
    .argument('[text]', 'the message; - reads standard input');
  addFileOption(command)
    .option('--webhook <url>', 'have events of the task posted to this URL')
    .option(
      '--at <time>',
      'start later: a time such as 2030-01-31T08:00:00Z, or a delay such as 10m',
      parseTime,
    )
    .option('--context <id>', 'continue a conversation')
    .option('--message-id <id>', 'id of the message: sent again, it starts no second task');
  addSendOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  longhaul send "What is 6 times 7?"
  longhaul send "Summarise this." --file report.pdf --stream
  git diff | longhaul send - --wait > review.txt
  id=$(longhaul send "Long work" --detach --webhook http://localhost:9000/)
  longhaul send "Good morning" --at 2030-01-31T08:00:00Z --detach`,
    )
    .action((text: string | undefined, options: Options) =>
      runOnAgent(options, (context) => send(text, context)),
    );
}

async function send(text: string | undefined, context: Context<Options>): Promise<ExitStatus> {
  const { agent, options } = context;
  const { webhook, at, context: contextId, messageId } = options;
  if (at !== undefined && !agent.supports(scheduleExtension)) {
    throw usageError(
      `${agent.card.name} cannot start tasks later: its card does not list ${scheduleExtension}`,
    );
  }
  if (webhook !== undefined && agent.card.capabilities?.pushNotifications !== true) {
    throw usageError(`${agent.card.name} sends no webhooks: its card does not list push notifications`);
  }
  const message = await createMessage(text, options.file, {
    ...(contextId !== undefined && { contextId }),
    ...(messageId !== undefined && { messageId }),
  });
  return await sendAndWait(context, {
    message,
    ...(webhook !== undefined && {
      configuration: { taskPushNotificationConfig: { url: checkUrl(webhook) } },
    }),
    ...(at !== undefined && { metadata: { [scheduleExtension]: { startAt: at } } }),
  });
}
