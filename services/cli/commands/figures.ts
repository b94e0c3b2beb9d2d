/** `longhaul stats` and `longhaul usage`: the tasks, tokens and cost of the caller in figures (docs/extensions/tasks.md). */
import type { Command } from 'commander';
import { totalTokens } from '#shared/domain/usage.ts';
import { taskStates } from '#shared/domain/task.ts';
import { tasksExtension, type TaskStats, type UsageReport } from '#shared/domain/views.ts';
import { callRoute } from '../agent/rest.ts';
import { exitStatus } from '../failure.ts';
import { stateName } from '../output/task-printer.ts';
import { print, printJson, printTable } from '../output/terminal.ts';
import { runOnAgent } from '../run.ts';
import { addAgentOptions, addOwnerOption, type AgentOptions } from '../settings/settings.ts';
import { addDayOptions, type DayOptions, toDays } from '../settings/days.ts';

export function addStatsCommand(program: Command): void {
  const command = program
    .command('stats')
    .description('Print how many tasks you have, and how long they take.');
  addAgentOptions(addOwnerOption(command))
    .addHelpText('after', '\nExamples:\n  longhaul stats\n  longhaul stats --json | jq .completion.p99')
    .action((options: AgentOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const stats = await callRoute<TaskStats>(agent, tasksExtension, '/stats');
        if (options.json) printJson(stats);
        else printStats(stats);
        return exitStatus.done;
      }),
    );
}

function printStats({
  states,
  changedInLastHour,
  countsUpTo,
  oldestSubmittedSeconds,
  completion,
}: TaskStats): void {
  const count = (value: number): string => (value > countsUpTo ? `more than ${countsUpTo}` : String(value));
  printTable(
    ['STATE', 'TASKS', 'CHANGED IN THE LAST HOUR'],
    taskStates.map((state) => [stateName(state), count(states[state]), count(changedInLastHour[state])]),
  );
  if (oldestSubmittedSeconds !== undefined) {
    print(`\nthe oldest submitted task has waited for ${oldestSubmittedSeconds.toFixed(1)} s`);
  }
  if (completion !== undefined) {
    const { tasks, p50, p90, p99 } = completion;
    const times = [p50, p90, p99].map((seconds) => `${seconds.toFixed(1)} s`).join(' / ');
    print(`\nthe last ${tasks} completed tasks took ${times} (p50 / p90 / p99)`);
  }
}

type UsageOptions = AgentOptions & DayOptions;

export function addUsageCommand(program: Command): void {
  const command = program
    .command('usage')
    .description('Print the tokens and the cost of your tasks by day (UTC) and model.');
  addAgentOptions(addOwnerOption(addDayOptions(command)))
    .addHelpText(
      'after',
      '\nExamples:\n  longhaul usage\n  longhaul usage --since 2030-01-01 --json | jq .cost',
    )
    .action((options: UsageOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const report = await callRoute<UsageReport>(
          agent,
          tasksExtension,
          `/usage?${new URLSearchParams(toDays(options)).toString()}`,
        );
        if (options.json) for (const line of report.lines) printJson(line);
        else printUsage(report);
        return exitStatus.done;
      }),
    );
}

function printUsage({ lines, since, until }: UsageReport): void {
  printTable(
    ['DAY', 'MODEL', 'CALLS', 'TOKENS', 'COST'],
    lines.map(({ day, model, calls, tokens, cost }) => [
      day,
      model,
      String(calls),
      String(totalTokens(tokens)),
      cost.toFixed(4),
    ]),
  );
  const cost = lines.reduce((sum, line) => sum + line.cost, 0);
  print(`\n${since} to ${until}: ${cost.toFixed(4)}`);
  const unpriced = lines.reduce((sum, line) => sum + line.unpriced, 0);
  if (unpriced > 0) print(`The cost does not include ${unpriced} calls of models without a price.`);
}
