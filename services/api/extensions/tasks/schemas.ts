/** Schemas of the tasks extension, for the OpenAPI document. */
import { taskStates, type AttemptOutcome } from '#shared/domain/task.ts';
import type { ModelUsage, Tokens, Usage } from '#shared/domain/usage.ts';
import {
  maxStatusTextChars,
  type FeedEvent,
  type Held,
  type SearchPage,
  type TaskStats,
  type TaskSummary,
  type Timeline,
  type TimelineAttempt,
  type TimelineDelivery,
  type TimelineEvent,
  type TimelineStep,
  type TimelineTurn,
  type UsageReport,
} from '#shared/domain/views.ts';
import { nextPage } from '../../http/openapi/a2a/answers.ts';
import {
  count,
  day,
  flag,
  id,
  integer,
  list,
  named,
  number,
  object,
  oneOf,
  optional,
  record,
  text,
  time,
  valueOf,
} from '../../http/openapi/schema.ts';
import { maxItems } from '../body.ts';
import type { CancelResult, CancelSummary, RerunResult, RerunSummary } from './results.ts';

const state = oneOf(taskStates);

const tokens = named(
  'Tokens',
  object<Tokens>({ prompt: count, cached: count, tool: count, thoughts: count, output: count }),
);
export const usageFields = { calls: count, tokens, cost: number, unpriced: count };
const usage = named('Usage', object<Usage>(usageFields));

const outcomes: Record<AttemptOutcome, true> = {
  finished: true,
  waiting: true,
  parked: true,
  partner_failed: true,
  failed: true,
  postponed: true,
  stopped: true,
  crashed: true,
  stalled: true,
  canceled: true,
  expired: true,
  restarted: true,
};

const reasons: Record<Held['reason'], true> = {
  start_time: true,
  owner_limit: true,
  owner_share: true,
  agent_version: true,
  ...outcomes,
};

export const held = named(
  'Held',
  object<Held>({ reason: valueOf(reasons), since: optional(time), until: optional(time) }),
);

const summaryFields = {
  taskId: text,
  contextId: text,
  state,
  createdAt: time,
  statusAt: time,
  agent: { ...text, description: 'The hash of the definition of the agent that the task keeps.' },
  lastError: optional(text),
  statusText: optional({ ...text, maxLength: maxStatusTextChars }),
  held: optional(held),
  usage: optional(usage),
  webhook: optional(oneOf(['failing', 'disabled'])),
};

export const searchPage = named(
  'SearchPage',
  object<SearchPage>({
    tasks: list(named('TaskSummary', object<TaskSummary>(summaryFields))),
    nextPageToken: nextPage(),
  }),
);

const attempt = named(
  'TimelineAttempt',
  object<TimelineAttempt>({
    fence: integer,
    worker: text,
    startedAt: time,
    endedAt: optional(time),
    outcome: optional(valueOf(outcomes)),
    error: optional(text),
  }),
);

const step = named(
  'TimelineStep',
  object<TimelineStep>({
    name: text,
    occurrence: count,
    startedAt: time,
    endedAt: optional(time),
    usage: optional(named('ModelUsage', object<ModelUsage>({ model: text, tokens, cost: optional(number) }))),
    wait: optional(
      object<NonNullable<TimelineStep['wait']>>({
        kind: valueOf({ sleep: true, callback: true, children: true, model: true, agent: true }),
        dueAt: time,
        ended: optional(count),
        needed: optional(count),
        size: optional(count),
      }),
    ),
  }),
);

const turn = named(
  'TimelineTurn',
  object<TimelineTurn>({
    turn: count,
    acceptedAt: time,
    endedAt: optional(time),
    attempts: list(attempt),
    steps: list(step),
  }),
);

const eventFields = {
  event: integer,
  kind: valueOf({ state: true, progress: true, artifact: true }),
  at: time,
  state: optional(state),
  artifactId: optional(text),
};

const delivery = named(
  'TimelineDelivery',
  object<TimelineDelivery>({
    webhook: text,
    event: integer,
    state: oneOf(['pending', 'delivered', 'failed', 'cancelled', 'merged']),
    attempts: count,
    createdAt: time,
    settledAt: optional(time),
    dueAt: optional(time),
  }),
);

export const timeline = named(
  'Timeline',
  object<Timeline>({
    ...summaryFields,
    turns: list(turn),
    events: list(named('TimelineEvent', object<TimelineEvent>(eventFields))),
    deliveries: list(delivery),
    cut: list(oneOf(['attempts', 'steps', 'events', 'deliveries', 'turns'])),
  }),
);

export const feedEvent = named(
  'FeedEvent',
  object<FeedEvent>({ ...eventFields, taskId: text, contextId: text }),
);

export const stats = named(
  'TaskStats',
  object<TaskStats>({
    countedAt: time,
    countsUpTo: count,
    states: record(taskStates, count),
    changedInLastHour: record(taskStates, count),
    oldestSubmittedSeconds: optional(number),
    completion: optional(
      object<NonNullable<TaskStats['completion']>>({ tasks: count, p50: number, p90: number, p99: number }),
    ),
  }),
);

export const usageReport = named(
  'UsageReport',
  object<UsageReport>({
    since: day,
    until: day,
    lines: list(object<UsageReport['lines'][number]>({ ...usageFields, day, model: text })),
  }),
);

const taskIds = list(id, { minItems: 1, maxItems });

export const cancelBody = object({ taskIds, dryRun: optional(flag) });

export const cancelSummary = named(
  'CancelSummary',
  object<CancelSummary>({
    dryRun: flag,
    results: list(
      object<CancelResult>({
        taskId: text,
        outcome: valueOf({ canceled: true, ended: true, not_found: true }),
        state: optional(state),
      }),
    ),
  }),
);

/** The most characters of the id of a rerun. */
export const maxRequestIdLength = 128;

export const stepBody = object({ name: { ...text, minLength: 1 }, occurrence: optional(count) });
export const rerunBody = object({
  taskIds,
  newContext: optional(flag),
  requestId: optional({
    ...id,
    maxLength: maxRequestIdLength,
    description: 'A request that is repeated with the same id starts no task twice.',
  }),
  fromStep: optional({
    ...stepBody,
    description: 'Runs the current turn again from this step, of one task that has not ended.',
  }),
  dryRun: optional(flag),
});

export const rerunSummary = named(
  'RerunSummary',
  object<RerunSummary>({
    dryRun: flag,
    results: list(
      object<RerunResult>({
        taskId: text,
        outcome: valueOf({
          started: true,
          not_ended: true,
          not_found: true,
          refused: true,
          restarted: true,
        }),
        newTaskId: optional(text),
        message: optional(text),
        turn: optional(count),
        steps: optional(
          list(object<{ name: string; occurrence: number }>({ name: text, occurrence: count })),
        ),
      }),
    ),
  }),
);
