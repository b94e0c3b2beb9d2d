/** The reports of `longhaul ops`. */
import { Argument, type Command } from 'commander';
import { limitColumns, toLimitRows, type OwnerReport } from '#shared/domain/owner-limits.ts';
import { operatorExtension } from '#shared/domain/scopes.ts';
import { totalTokens } from '#shared/domain/usage.ts';
import type { OwnersUsage } from '#shared/domain/views.ts';
import type { Agent } from '../../agent/connect.ts';
import { callRoute } from '../../agent/rest.ts';
import { exitStatus } from '../../failure.ts';
import { print, printJson, printRows, printTable } from '../../output/terminal.ts';
import { addAgentAction } from '../../run.ts';
import { addDayOptions, toDays, type DayOptions } from '../../settings/days.ts';
import type { AgentOptions } from '../../settings/settings.ts';
import { parseCount } from '../../settings/values.ts';

type Row = Record<string, unknown>;

/** Fields by the heads of their columns. */
type Columns = Readonly<Record<string, string>>;

/** Reports without options, whose answer is a list of the same name. */
const reports: Readonly<Record<string, { description: string; columns: Columns }>> = {
  workers: {
    description: 'List the workers that run turns.',
    columns: { WORKER: 'worker', TURNS: 'turns', 'OLDEST CLAIM': 'oldestClaimedAt', DRAINING: 'draining' },
  },
  models: {
    description: 'List the quotas of models, and the tasks that wait for them.',
    columns: { MODEL: 'model', 'WAITS (S)': 'waitSeconds', PARKED: 'parked' },
  },
  hosts: {
    description: 'List the hosts of receivers that fail now.',
    columns: {
      HOST: 'host',
      WEBHOOKS: 'webhooks',
      OWNERS: 'owners',
      DELIVERIES: 'deliveries',
      'OLDEST EVENT': 'oldestCreatedAt',
    },
  },
  versions: {
    description: 'List the versions of the agent, and the turns that are left of each.',
    columns: { VERSION: 'version', RUNNING: 'running', TURNS: 'turns', WAITING: 'waiting' },
  },
  undeleted: {
    description: 'List the model calls of removed tasks that could not be deleted at Google.',
    columns: {
      CALL: 'interaction',
      'TASK REMOVED': 'removedAt',
      ATTEMPTS: 'attempts',
      NEXT: 'nextAt',
      ERROR: 'error',
    },
  },
};

export function addReports(group: Command): void {
  for (const [name, { description, columns }] of Object.entries(reports)) {
    const command = group.command(name).description(description);
    addAgentAction<AgentOptions, []>(command, [`ops ${name}`], async ({ agent, options }) => {
      const rows = await read<Row>(agent, `/ops/${name}`, name);
      printColumns(rows, columns, options);
      return exitStatus.done;
    });
  }
}

export function addBacklogCommand(group: Command): void {
  const command = group.command('backlog').description('Print how much work waits, and for how long.');
  const examples = ['ops backlog', 'ops backlog --json | jq .turnsWaitingAge'];
  addAgentAction<AgentOptions, []>(command, examples, async ({ agent, options }) => {
    const backlog = await callRoute<Record<string, number>>(agent, operatorExtension, '/ops/backlog');
    if (options.json) printJson(backlog);
    else for (const [name, value] of Object.entries(backlog)) print(`${name.padEnd(20)}${formatCell(value)}`);
    return exitStatus.done;
  });
}

const workColumns = {
  TASK: 'taskId',
  OWNER: 'owner',
  TENANT: 'tenant',
  AT: 'at',
  FAILURES: 'failures',
  ERROR: 'lastError',
};

export function addWorkCommand(group: Command): void {
  const command = group
    .command('work')
    .description('List tasks that make no progress, the oldest first.')
    .addArgument(new Argument('<kind>').choices(['parked', 'failing', 'stalled', 'overdue']))
    .option('--limit <count>', 'maximum number of tasks', parseCount(100), 50);
  const examples = ['ops work stalled', 'ops work failing --json | jq .lastError'];
  addAgentAction<AgentOptions & { limit: number }, [string]>(
    command,
    examples,
    async ({ agent, options }, kind) => {
      const rows = await read<Row>(agent, `/ops/work?kind=${kind}&pageSize=${options.limit}`, 'work');
      printColumns(rows, workColumns, options);
      return exitStatus.done;
    },
  );
}

export function addOwnersCommand(group: Command): void {
  const command = group
    .command('owners')
    .description('List owners that are near a limit, or have limits of their own.')
    .option('--all', 'list all owners, with all their limits');
  const examples = ['ops owners', 'ops owners --all --json'];
  addAgentAction<AgentOptions & { all?: boolean }, []>(command, examples, async ({ agent, options }) => {
    const { all = false, json } = options;
    const owners = await read<OwnerReport>(agent, `/ops/owners?all=${all}`, 'owners');
    if (json) for (const owner of owners) printJson(owner);
    else
      printTable(
        limitColumns,
        owners.flatMap((owner) => toLimitRows(owner, all)),
      );
    return exitStatus.done;
  });
}

export function addUsageCommand(group: Command): void {
  const command = addDayOptions(
    group
      .command('usage')
      .description('List tokens and cost by day (UTC) of the owners with the highest cost.'),
  ).option('--limit <count>', 'maximum number of owners', parseCount(100), 50);
  const examples = ['ops usage', 'ops usage --since 2030-01-01 --until 2030-01-31 --limit 10'];
  addAgentAction<AgentOptions & DayOptions & { limit: number }, []>(
    command,
    examples,
    async ({ agent, options }) => {
      const query = new URLSearchParams({ ...toDays(options), pageSize: String(options.limit) });
      const path = `/ops/usage?${query.toString()}`;
      const { lines } = await callRoute<OwnersUsage>(agent, operatorExtension, path);
      printRows(lines, {
        json: options.json,
        head: ['DAY', 'OWNER', 'CALLS', 'TOKENS', 'COST'],
        toRow: ({ day, owner, calls, tokens, cost }) => [
          day,
          owner,
          String(calls),
          String(totalTokens(tokens)),
          cost.toFixed(4),
        ],
      });
      return exitStatus.done;
    },
  );
}

/** Returns the list of this name in an answer. */
async function read<T>(agent: Agent, path: string, list: string): Promise<T[]> {
  return (await callRoute<Record<string, T[]>>(agent, operatorExtension, path))[list] ?? [];
}

function printColumns(rows: readonly Row[], columns: Columns, { json }: AgentOptions): void {
  const toRow = (row: Row) => Object.values(columns).map((field) => formatCell(row[field]));
  printRows(rows, { json, head: Object.keys(columns), toRow });
}

function formatCell(value: unknown): string {
  if (typeof value === 'number') return String(Number(value.toFixed(1)));
  if (typeof value === 'string') return value;
  return value === undefined || value === null ? '' : JSON.stringify(value);
}
