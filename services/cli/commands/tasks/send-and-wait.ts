/** The part that all commands share which send a message: how long they wait, and what they print. */
import { Option, type Command } from 'commander';
import type { Sent } from '../../agent/connect.ts';
import { exitStatus, type ExitStatus } from '../../failure.ts';
import { TaskPrinter } from '../../output/task-printer.ts';
import { isTerminal, print, printJson } from '../../output/terminal.ts';
import type { Context, TimeOption } from '../../run.ts';
import { addAgentOptions, type AgentOptions } from '../../settings/settings.ts';
import { parseSeconds } from '../../settings/values.ts';
import { waitForTask } from './wait.ts';

export interface SendOptions extends AgentOptions, TimeOption {
  wait?: boolean;
  stream?: boolean;
  detach?: boolean;
}

export function addSendOptions(command: Command): Command {
  command
    .addOption(
      new Option('--wait', 'print the result when the task ends (default in a pipe)').conflicts([
        'stream',
        'detach',
      ]),
    )
    .addOption(
      new Option('--stream', 'print text and progress as they arrive (default on a terminal)').conflicts(
        'detach',
      ),
    )
    .option('--detach', 'print the id of the task and leave')
    .option('--timeout <seconds>', 'stop waiting after this time; the task continues', parseSeconds);
  return addAgentOptions(command);
}

export function addFileOption(command: Command): Command {
  const collect = (value: string, all: string[]): string[] => [...all, value];
  return command.option(
    '--file <path|url>',
    'add a file; append ";type=MEDIA/TYPE" to set its type',
    collect,
    [],
  );
}

/** @param params those of SendMessage, without `returnImmediately` */
export async function sendAndWait(
  { agent, options, signal }: Context<SendOptions>,
  { configuration = {}, ...params }: { message: object; configuration?: object; metadata?: object },
): Promise<ExitStatus> {
  const json = options.json ?? false;
  const withWait = (returnImmediately: boolean): object => ({
    ...params,
    configuration: { ...configuration, returnImmediately },
  });
  if (options.detach) return reportSent(await agent.send(withWait(true)), json);
  const stream = options.stream ?? (isTerminal() && !json && options.wait !== true);
  return await waitForTask(agent, { events: agent.stream(withWait(false)) }, { json, stream, signal });
}

/** Prints the id of the task, or the answer of an agent that created none. */
function reportSent(sent: Sent, json: boolean): ExitStatus {
  if (json) {
    printJson(sent);
  } else if ('task' in sent) {
    print(sent.task.id);
  } else {
    const printer = new TaskPrinter();
    printer.event(sent);
    printer.end();
  }
  return exitStatus.done;
}
