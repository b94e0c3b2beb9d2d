/** Waits for a task that a command has sent or watches, and prints it. */
import type { Agent } from '../../agent/connect.ts';
import { followTask } from '../../agent/follow.ts';
import type { StreamEventJson } from '../../agent/json.ts';
import { CliError, exitStatus, type ExitStatus } from '../../failure.ts';
import { getStatus, reportOutcome } from '../../output/outcome.ts';
import { TaskPrinter } from '../../output/task-printer.ts';
import { printJson, printProgress } from '../../output/terminal.ts';

export interface WaitOptions {
  json: boolean;
  /** Prints events as they arrive. Otherwise the task is printed when it has ended or waits for its client. */
  stream: boolean;
  signal: AbortSignal;
}

/** A task that is followed, by its id or by a stream that is open already. */
export type Source = { id: string } | { events: AsyncIterable<StreamEventJson> };

/**
 * Follows a task until it ends or waits for its client. An interrupt ends the command, not the task.
 *
 * @returns the exit status for its state
 */
export async function waitForTask(agent: Agent, source: Source, options: WaitOptions): Promise<ExitStatus> {
  const { json, stream, signal } = options;
  const printer = new TaskPrinter();
  const events = 'events' in source ? source.events : undefined;
  let id = 'id' in source ? source.id : undefined;
  const leave = (): void => {
    printer.end();
    if (id !== undefined) printProgress(`the task continues: longhaul watch ${id}`);
  };
  const printEvent = (event: StreamEventJson): void => printer.event(event);
  const interrupt = (): void => {
    leave();
    process.exit(128 + 2);
  };
  process.once('SIGINT', interrupt);
  try {
    const onReconnect = (reason: string): void => printProgress(`reconnecting: ${reason}`);
    for await (const event of followTask(agent, id, { signal, onReconnect }, events)) {
      id ??= event.task?.id ?? event.statusUpdate?.taskId ?? event.artifactUpdate?.taskId;
      if (stream || event.message !== undefined) (json ? printJson : printEvent)(event);
      if (event.message !== undefined) {
        printer.end();
        return exitStatus.done;
      }
    }
    if (id === undefined) throw new CliError('the agent ended the stream without a task or a message');
    const task = await agent.get(id, json ? undefined : 0);
    if (json) {
      if (!stream) printJson(task);
      return getStatus(task.status?.state);
    }
    printer.event({ task });
    printer.end();
    return reportOutcome(task, printer.hasPrinted);
  } catch (error) {
    leave();
    throw error;
  } finally {
    process.off('SIGINT', interrupt);
  }
}
