/** `longhaul ops`: what operators see and do, over all owners (docs/extensions/operator.md). */
import { Argument, type Command } from 'commander';
import { callRoute } from '../../agent/rest.ts';
import { exitStatus } from '../../failure.ts';
import { print, printError, printJson, printTable } from '../../output/terminal.ts';
import { runOnAgent } from '../../run.ts';
import { addAgentOptions, type AgentOptions } from '../../settings/settings.ts';
import { parseCount } from '../../settings/values.ts';
import { usageError } from '../../failure.ts';

const extension = 'https://longhaul.dev/ext/operator/v1';
type Row = Record<string, unknown>;

export function addOpsCommands(program: Command): void {
  const group = program.command('ops').description('Reports and actions for operators, over all owners.');
  addBacklogCommand(group);
  addTable(group, 'workers', 'List the workers that run turns.', {
    path: '/ops/workers',
    columns: { WORKER: 'worker', TURNS: 'turns', 'OLDEST CLAIM': 'oldestClaimedAt', DRAINING: 'draining' },
  });
  addTable(group, 'models', 'List the quotas of models, and the tasks that wait for them.', {
    path: '/ops/models',
    columns: { MODEL: 'model', 'WAITS (S)': 'waitSeconds', PARKED: 'parked' },
  });
  addTable(group, 'hosts', 'List the hosts of receivers that fail now.', {
    path: '/ops/hosts',
    columns: {
      HOST: 'host',
      WEBHOOKS: 'webhooks',
      OWNERS: 'owners',
      DELIVERIES: 'deliveries',
      'OLDEST EVENT': 'oldestCreatedAt',
    },
  });
  addWorkCommand(group);
  addOwnersCommand(group);
  addWakeCommand(group);
  addDrainCommand(group);
}

function addBacklogCommand(group: Command): void {
  const command = group.command('backlog').description('Print how much work waits, and for how long.');
  addAgentOptions(command)
    .addHelpText(
      'after',
      '\nExamples:\n  longhaul ops backlog\n  longhaul ops backlog --json | jq .turnsWaitingAge',
    )
    .action((options: AgentOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const backlog = await callRoute<Record<string, number>>(agent, extension, '/ops/backlog');
        if (options.json) printJson(backlog);
        else
          for (const [name, value] of Object.entries(backlog))
            print(`${name.padEnd(20)}${formatCell(value)}`);
        return exitStatus.done;
      }),
    );
}

interface Table {
  path: string;
  /** Fields by the heads of their columns. */
  columns: Record<string, string>;
}

/** Adds a command that prints the only list in an answer. */
function addTable(group: Command, name: string, description: string, table: Table): void {
  const command = group.command(name).description(description);
  addAgentOptions(command)
    .addHelpText('after', `\nExamples:\n  longhaul ops ${name}`)
    .action((options: AgentOptions) => printList(options, table));
}

async function printList(options: AgentOptions, { path, columns }: Table): Promise<void> {
  await runOnAgent(options, async ({ agent }) => {
    const [rows = []] = Object.values(await callRoute<Record<string, Row[]>>(agent, extension, path));
    if (options.json) for (const row of rows) printJson(row);
    else {
      const fields = Object.values(columns);
      printTable(
        Object.keys(columns),
        rows.map((row) => fields.map((field) => formatCell(row[field]))),
      );
    }
    return exitStatus.done;
  });
}

function formatCell(value: unknown): string {
  if (typeof value === 'number') return String(Number(value.toFixed(1)));
  if (typeof value === 'string') return value;
  return value === undefined || value === null ? '' : JSON.stringify(value);
}

function addWorkCommand(group: Command): void {
  const command = group
    .command('work')
    .description('List tasks that make no progress, the oldest first.')
    .addArgument(new Argument('<kind>').choices(['parked', 'failing', 'stalled', 'overdue']))
    .option('--limit <count>', 'maximum number of tasks', parseCount(100), 50);
  addAgentOptions(command)
    .addHelpText(
      'after',
      '\nExamples:\n  longhaul ops work stalled\n  longhaul ops work failing --json | jq .lastError',
    )
    .action((kind: string, options: AgentOptions & { limit: number }) =>
      printList(options, {
        path: `/ops/work?kind=${kind}&pageSize=${options.limit}`,
        columns: {
          TASK: 'taskId',
          OWNER: 'owner',
          TENANT: 'tenant',
          AT: 'at',
          FAILURES: 'failures',
          ERROR: 'lastError',
        },
      }),
    );
}

function addOwnersCommand(group: Command): void {
  const command = group
    .command('owners')
    .description('List owners that are near a limit, or have limits of their own.')
    .option('--all', 'list all owners');
  addAgentOptions(command)
    .addHelpText('after', '\nExamples:\n  longhaul ops owners\n  longhaul ops owners --all --json')
    .action((options: AgentOptions & { all?: boolean }) =>
      printList(options, {
        path: `/ops/owners?all=${options.all ?? false}`,
        columns: { OWNER: 'owner', NEAR: 'near', USAGE: 'usage', LIMITS: 'limits' },
      }),
    );
}

function addWakeCommand(group: Command): void {
  const command = group
    .command('wake')
    .description('Wake turns whose wake-up was lost or given up.')
    .argument('[task...]', 'ids of tasks, at most 100')
    .option('--stalled', 'those that have stalled, at most 1,000');
  addAgentOptions(command)
    .addHelpText('after', '\nExamples:\n  longhaul ops wake --stalled\n  longhaul ops wake TASK_ID')
    .action((taskIds: string[], options: AgentOptions & { stalled?: boolean }) =>
      runOnAgent(options, async ({ agent }) => {
        if ((taskIds.length === 0) !== (options.stalled === true)) {
          throw usageError('expected either ids of tasks or --stalled');
        }
        const body = options.stalled ? { stalled: true } : { taskIds };
        const result = await callRoute<{ taskIds: string[] }>(agent, extension, '/ops/turns:wake', {
          method: 'POST',
          body,
        });
        if (options.json) printJson(result);
        else print(`${result.taskIds.length} turns are woken within a few seconds`);
        const others = taskIds.filter((id) => !result.taskIds.includes(id.toLowerCase()));
        for (const id of others) printError(`${id}: no turn of it waits to be woken`);
        return others.length === 0 ? exitStatus.done : exitStatus.failed;
      }),
    );
}

function addDrainCommand(group: Command): void {
  const command = group
    .command('drain')
    .description('Ask a worker to finish its turns, start no others, and exit.')
    .argument('<worker>', 'its name, as in longhaul ops workers');
  addAgentOptions(command)
    .addHelpText('after', '\nExamples:\n  longhaul ops drain worker-7f9c:1')
    .action((worker: string, options: AgentOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const result = await callRoute<{ worker: string }>(agent, extension, '/ops/workers:drain', {
          method: 'POST',
          body: { worker },
        });
        if (options.json) printJson(result);
        else print(`${worker} drains within a few seconds`);
        return exitStatus.done;
      }),
    );
}
