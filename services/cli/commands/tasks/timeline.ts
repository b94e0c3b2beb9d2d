/** `longhaul timeline`: prints what happened to a task, in the order of time (docs/extensions/tasks.md). */
import type { Command } from 'commander';
import { totalTokens } from '#shared/domain/usage.ts';
import { tasksExtension, type Timeline, type TimelineStep } from '#shared/domain/views.ts';
import { callRoute } from '../../agent/rest.ts';
import { exitStatus } from '../../failure.ts';
import { stateName } from '../../output/task-printer.ts';
import { printError, printJson, printTable } from '../../output/terminal.ts';
import { runOnAgent } from '../../run.ts';
import { addAgentOptions, addOwnerOption, type AgentOptions } from '../../settings/settings.ts';

export function addTimelineCommand(program: Command): void {
  const command = program
    .command('timeline')
    .description('Print what happened to a task: turns, attempts, steps, events and webhooks.')
    .argument('<id>', 'id of the task');
  addAgentOptions(addOwnerOption(command))
    .addHelpText(
      'after',
      '\nExamples:\n  longhaul timeline TASK_ID\n  longhaul timeline TASK_ID --json | jq .turns[].steps',
    )
    .action((id: string, options: AgentOptions) =>
      runOnAgent(options, async ({ agent }) => {
        const path = `/tasks/${encodeURIComponent(id)}/timeline`;
        const timeline = await callRoute<Timeline>(agent, tasksExtension, path);
        if (options.json) printJson(timeline);
        else printTimeline(timeline);
        return exitStatus.done;
      }),
    );
}

function printTimeline(timeline: Timeline): void {
  const rows = [...listTurns(timeline), ...listEvents(timeline)];
  // Entries of one moment stay in their order: a turn comes before its attempts and steps.
  rows.sort(([first], [second]) => (first < second ? -1 : Number(first > second)));
  printTable(['TIME', 'WHAT', 'DETAIL', 'LASTED'], rows);
  if (timeline.cut.length > 0) printError(`older entries are left out: ${timeline.cut.join(', ')}`);
}

type Row = [time: string, what: string, detail: string, lasted: string];

function listTurns({ turns }: Timeline): Row[] {
  return turns.flatMap(({ turn, acceptedAt, endedAt, attempts, steps }): Row[] => [
    [acceptedAt, `turn ${turn}`, 'accepted', lasted(acceptedAt, endedAt)],
    ...attempts.map(({ startedAt, endedAt, worker, outcome, error }): Row => {
      const result = [outcome ?? 'running', error].filter(Boolean).join(': ');
      return [startedAt, `attempt of turn ${turn}`, `${worker}, ${result}`, lasted(startedAt, endedAt)];
    }),
    ...steps.map((step): Row => {
      return [step.startedAt, `step ${step.name}`, describeStep(step), lasted(step.startedAt, step.endedAt)];
    }),
  ]);
}

function describeStep({ occurrence, usage, wait, endedAt }: TimelineStep): string {
  const tokens = usage === undefined ? '' : `${usage.model}, ${totalTokens(usage.tokens)} tokens`;
  const cost = usage?.cost === undefined ? '' : `cost ${usage.cost}`;
  const waits =
    wait === undefined || endedAt !== undefined ? '' : `waits for a ${wait.kind} until ${wait.dueAt}`;
  return [occurrence > 0 && `repetition ${occurrence}`, tokens, cost, waits].filter(Boolean).join(', ');
}

function listEvents({ events, deliveries }: Timeline): Row[] {
  return [
    ...events.map(({ event, kind, at, state, artifactId }): Row => {
      return [at, `event ${event}`, state === undefined ? (artifactId ?? kind) : stateName(state), ''];
    }),
    ...deliveries.map(({ webhook, event, state, attempts, createdAt, settledAt, dueAt }): Row => {
      const due = dueAt === undefined ? '' : `, due ${dueAt}`;
      const detail = `${webhook}: ${state} after ${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}${due}`;
      return [
        createdAt,
        event < 0 ? 'webhook test' : `webhook of event ${event}`,
        detail,
        lasted(createdAt, settledAt),
      ];
    }),
  ];
}

/** The time between two moments, in seconds. */
function lasted(from: string, to: string | undefined): string {
  return to === undefined ? '…' : `${((Date.parse(to) - Date.parse(from)) / 1000).toFixed(3)} s`;
}
