/** `longhaul send`: sends a message that starts a task. */
import type { Command } from 'commander';
import { usageError, type ExitStatus } from '../../failure.ts';
import { runOnAgent, type Context } from '../../run.ts';
import { checkUrl } from '../../settings/settings.ts';
import { parseJsonObject, parseTime } from '../../settings/values.ts';
import { createMessage } from './message.ts';
import { createMetadata, namingOptions, type MetadataOptions } from './metadata.ts';
import { addFileOption, addSendOptions, sendAndWait, type SendOptions } from './send-and-wait.ts';

interface Options extends SendOptions, MetadataOptions {
  file: string[];
  webhook?: string;
  context?: string;
  messageId?: string;
}

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
    .option('--tier <tier>', 'service tier of the model calls, if the agent offers it, such as flex')
    .option(
      '--metadata <json>',
      'metadata of the request: a JSON object, such as {"https://longhaul.dev/ext/priority/v1": 5}',
      parseJsonObject,
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
  longhaul send "Good morning" --at 2030-01-31T08:00:00Z --detach
  longhaul send "No hurry" --tier flex --metadata '{"https://longhaul.dev/ext/priority/v1": -5}'`,
    )
    .action((text: string | undefined, options: Options) =>
      runOnAgent(options, (context) => send(text, context)),
    );
}

async function send(text: string | undefined, context: Context<Options>): Promise<ExitStatus> {
  const { agent, options } = context;
  const { webhook, context: contextId, messageId } = options;
  const metadata = createMetadata(agent, options);
  if (webhook !== undefined && agent.card.capabilities?.pushNotifications !== true) {
    throw usageError(`${agent.card.name} sends no webhooks: its card does not list push notifications`);
  }
  const message = await createMessage(text, options.file, {
    ...(contextId !== undefined && { contextId }),
    ...(messageId !== undefined && { messageId }),
  });
  const params = {
    message,
    ...(webhook !== undefined && {
      configuration: { taskPushNotificationConfig: { url: checkUrl(webhook) } },
    }),
    ...(metadata !== undefined && { metadata }),
  };
  return await namingOptions(options, () => sendAndWait(context, params));
}
