/** `longhaul schedules create`: creates a schedule, or replaces the one with its id. */
import { Option, type Command } from 'commander';
import { catchUpBounds, everyBounds } from '#shared/domain/schedule.ts';
import { exitStatus, usageError } from '../../failure.ts';
import { print, printJson } from '../../output/terminal.ts';
import { checkUrl, type AgentOptions } from '../../settings/settings.ts';
import { parseDuration } from '../../settings/values.ts';
import { createMessage } from '../tasks/message.ts';
import { addFileOption } from '../tasks/send-and-wait.ts';
import { addScheduleAction, callSchedules, type ScheduleJson } from './route.ts';

interface Options extends AgentOptions {
  file: string[];
  cron?: string;
  timeZone?: string;
  every?: number;
  overlap?: string;
  catchUp?: number;
  paused?: boolean;
  webhook?: string;
  context?: string;
}

export function addCreateCommand(group: Command): void {
  const command = group
    .command('create')
    .description('Create a schedule, or replace the one with this id.')
    .argument('<id>', 'id of the schedule, of your choice')
    .argument('[text]', 'the message that starts each task; - reads standard input')
    .option('--cron <expression>', 'five fields: minute, hour, day of month, month, day of week')
    .option('--time-zone <name>', 'of the cron expression, such as Europe/Berlin (default: UTC)')
    .option('--every <duration>', 'an interval instead, such as 10m, 2h or 1d', parseDuration(everyBounds))
    .addOption(
      new Option('--overlap <policy>', 'while the previous task has not ended (default: skip)').choices([
        'skip',
        'queue',
        'cancel',
        'allow',
      ]),
    )
    .option('--catch-up <duration>', 'how late a task may start (default: 1h)', parseDuration(catchUpBounds))
    .option('--paused', 'start no task until it is resumed')
    .option('--webhook <url>', 'have events of the tasks posted to this URL')
    .option('--context <id>', 'let all tasks continue this conversation');
  const examples = [
    'create report "Report on yesterday." --cron "0 9 * * 1-5" --time-zone Europe/Berlin',
    'create check - --every 10m --overlap queue --webhook http://localhost:9000/ < message.txt',
  ];
  addScheduleAction<Options, [string, string | undefined]>(
    addFileOption(command),
    examples,
    async ({ agent, options }, id, text) => {
      const body = await createSettings(text, options);
      const schedule = await callSchedules<ScheduleJson>(agent, id, { method: 'PUT', body });
      if (options.json) printJson(schedule);
      else
        print(schedule.nextAt === undefined ? `${id} is paused` : `${id} is next due at ${schedule.nextAt}`);
      return exitStatus.done;
    },
  );
}

async function createSettings(text: string | undefined, options: Options): Promise<object> {
  const { cron, timeZone, every, overlap, catchUp, paused, webhook, context } = options;
  if ((cron === undefined) === (every === undefined)) throw usageError('expected either --cron or --every');
  if (timeZone !== undefined && cron === undefined) throw usageError('--time-zone belongs to --cron');
  // Each task gets a message id of its own.
  const { messageId: _, ...message } = await createMessage(text, options.file, {
    ...(context !== undefined && { contextId: context }),
  });
  return {
    ...(cron !== undefined && { cron }),
    ...(timeZone !== undefined && { timeZone }),
    ...(every !== undefined && { everySeconds: every }),
    ...(overlap !== undefined && { overlap }),
    ...(catchUp !== undefined && { catchUpSeconds: catchUp }),
    ...(paused === true && { paused }),
    request: {
      message,
      ...(webhook !== undefined && {
        configuration: { taskPushNotificationConfig: { url: checkUrl(webhook) } },
      }),
    },
  };
}
