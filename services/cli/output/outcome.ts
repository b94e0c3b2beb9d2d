/** The end of a command that waits for a task: what is printed, and the exit status. */
import { getStateClass, isTerminal, stateClass } from '#shared/domain/task.ts';
import { isState } from '../agent/follow.ts';
import type { TaskJson } from '../agent/json.ts';
import { exitStatus, type ExitStatus } from '../failure.ts';
import { partsToText, stateName } from './task-printer.ts';
import { print, printError, printProgress, toTerminalText } from './terminal.ts';

/**
 * Says how the task ended, on stderr unless it is completed.
 *
 * @param hasPrinted whether artifacts were printed. Without them, the message of a completed task is its result.
 */
export function reportOutcome({ id, status }: TaskJson, hasPrinted: boolean): ExitStatus {
  const state = status?.state ?? 'TASK_STATE_UNSPECIFIED';
  const text = partsToText(status?.message?.parts ?? []);
  if (state === 'TASK_STATE_COMPLETED') {
    if (!hasPrinted && text !== '') print(toTerminalText(text));
    return exitStatus.done;
  }
  const said = text === '' ? '' : `: ${toTerminalText(text, process.stderr)}`;
  printError(`task ${id} is ${stateName(state)}${said}`);
  if (state === 'TASK_STATE_INPUT_REQUIRED') printProgress(`to answer: longhaul answer ${id} TEXT`);
  if (state === 'TASK_STATE_AUTH_REQUIRED')
    printProgress(`to decide: longhaul approve ${id}, longhaul refuse ${id}`);
  return getStatus(state);
}

/** The exit status for the state of a task. */
export function getStatus(state: string | undefined): ExitStatus {
  if (state === undefined || state === 'TASK_STATE_COMPLETED' || !isState(state)) return exitStatus.done;
  if (getStateClass(state) === stateClass.runnable) return exitStatus.done;
  return isTerminal(state) ? exitStatus.failed : exitStatus.inputRequired;
}
