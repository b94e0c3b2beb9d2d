/** `longhaul ops wake` and `longhaul ops drain`. */
import type { Command } from 'commander';
import { operatorExtension } from '#shared/domain/scopes.ts';
import { callRoute } from '../../agent/rest.ts';
import { exitStatus, usageError } from '../../failure.ts';
import { print, printError, printJson } from '../../output/terminal.ts';
import { addAgentAction } from '../../run.ts';
import type { AgentOptions } from '../../settings/settings.ts';

export function addWakeCommand(group: Command): void {
  const command = group
    .command('wake')
    .description('Wake turns whose wake-up was lost or given up.')
    .argument('[task...]', 'ids of tasks, at most 100')
    .option('--stalled', 'those that have stalled, at most 1,000');
  const examples = ['ops wake --stalled', 'ops wake TASK_ID'];
  addAgentAction<AgentOptions & { stalled?: boolean }, [string[]]>(
    command,
    examples,
    async ({ agent, options }, taskIds) => {
      if ((taskIds.length === 0) !== (options.stalled === true)) {
        throw usageError('expected either ids of tasks or --stalled');
      }
      const body = options.stalled ? { stalled: true } : { taskIds };
      const call = { method: 'POST', body } as const;
      const result = await callRoute<{ taskIds: string[] }>(
        agent,
        operatorExtension,
        '/ops/turns:wake',
        call,
      );
      if (options.json) printJson(result);
      else print(`${result.taskIds.length} turns are woken within a few seconds`);
      const others = taskIds.filter((id) => !result.taskIds.includes(id.toLowerCase()));
      for (const id of others) printError(`${id}: no turn of it waits to be woken`);
      return others.length === 0 ? exitStatus.done : exitStatus.failed;
    },
  );
}

export function addDrainCommand(group: Command): void {
  const command = group
    .command('drain')
    .description('Ask a worker to finish its turns, start no others, and exit.')
    .argument('<worker>', 'its name, as in longhaul ops workers');
  addAgentAction<AgentOptions, [string]>(
    command,
    ['ops drain worker-7f9c:1'],
    async ({ agent, options }, worker) => {
      const call = { method: 'POST', body: { worker } } as const;
      const result = await callRoute<{ worker: string }>(
        agent,
        operatorExtension,
        '/ops/workers:drain',
        call,
      );
      if (options.json) printJson(result);
      else print(`${worker} drains within a few seconds`);
      return exitStatus.done;
    },
  );
}
