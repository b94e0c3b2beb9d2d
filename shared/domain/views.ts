/**
 * The JSON of the tasks extension (docs/extensions/tasks.md), for the front door and for programs that read it. Times
 * are ISO 8601 in UTC with milliseconds. Optional fields are absent if they have no value, never null.
 */
import type { EventKind } from './events.ts';
import type { Artifact, Message } from './message.ts';
import type { AttemptOutcome, TaskState } from './task.ts';
import type { ModelUsage, Usage } from './usage.ts';
import type { Wait } from './wait.ts';

export const tasksExtension = 'https://longhaul.dev/ext/tasks/v1';

/** A task as a search returns it. */
export interface TaskSummary {
  taskId: string;
  contextId: string;
  state: TaskState;
  createdAt: string;
  statusAt: string;
  /** The hash of the agent definition that the task keeps. */
  agent: string;
  /** The cause of the last failure, which the task may have survived. */
  lastError?: string;
  /** The start of the text of the status message, at most `maxStatusTextChars`: a reason, a question or progress. */
  statusText?: string;
  /** Why its turn does not run now, if it has to wait. */
  held?: Held;
  usage?: Usage;
  /** In searches: one of its webhooks is disabled, or its last attempt failed. */
  webhook?: 'failing' | 'disabled';
}

export const maxStatusTextChars = 500;

/**
 * Why a turn has to wait:
 *
 * - `start_time`: it starts at `until`
 * - `owner_limit`: its owner has as many turns running as its limit allows
 * - `owner_share`: its owner uses its share of the workers
 * - `agent_version`: its version of the agent has no room, or no worker
 * - an outcome of an attempt: its last attempt ended so, and it runs again at `until`. If it is `parked`, `lastError` says
 *   for which model or limit
 */
export interface Held {
  reason: 'start_time' | 'owner_limit' | 'owner_share' | 'agent_version' | AttemptOutcome;
  /** When it was put into a queue. */
  since?: string;
  until?: string;
}

/** The work of a task so far, including the part in progress. Lists are in order of time. */
export interface Timeline extends TaskSummary {
  turns: TimelineTurn[];
  events: TimelineEvent[];
  deliveries: TimelineDelivery[];
  /** Lists that are longer: they have their newest entries only. */
  cut: ('attempts' | 'steps' | 'events' | 'deliveries' | 'turns')[];
}

export interface TimelineTurn {
  turn: number;
  /** When its message was accepted. */
  acceptedAt: string;
  /** Absent while the turn has not ended. */
  endedAt?: string;
  attempts: TimelineAttempt[];
  steps: TimelineStep[];
}

export interface TimelineAttempt {
  /** Identifies the attempt within its task; rises with each one. */
  fence: number;
  worker: string;
  startedAt: string;
  /** Absent while it runs. That of a crash is the end of its lease. */
  endedAt?: string;
  outcome?: AttemptOutcome;
  error?: string;
}

export interface TimelineStep {
  name: string;
  /** Counts the steps of this name in the turn, from 0. */
  occurrence: number;
  startedAt: string;
  /** Absent while it runs, or waits. */
  endedAt?: string;
  /** Model, tokens and cost of a model call. */
  usage?: ModelUsage;
  /** The step ends by itself at `dueAt`, or by a call, or when `needed` of `size` children have ended. */
  wait?: { kind: Wait['kind']; dueAt: string; ended?: number; needed?: number; size?: number };
}

export interface TimelineEvent {
  event: number;
  kind: EventKind;
  at: string;
  /** The new state, of an event of kind `state`. */
  state?: TaskState;
  artifactId?: string;
}

export interface TimelineDelivery {
  /** The id of the webhook config. */
  webhook: string;
  /** Negative for a test. */
  event: number;
  state: 'pending' | 'delivered' | 'failed' | 'cancelled' | 'merged';
  attempts: number;
  createdAt: string;
  settledAt?: string;
  /** When the next attempt is due. */
  dueAt?: string;
}

/** A change of one of the caller's tasks. */
export interface FeedEvent extends TimelineEvent {
  taskId: string;
  contextId: string;
}

export interface SearchPage {
  tasks: TaskSummary[];
  /** Empty on the last page. A page may have a token and no tasks: each examines a limited number of tasks. */
  nextPageToken: string;
}

/** The tasks of a caller in figures. Counts are exact up to `countsUpTo`, and this number plus one above. */
export interface TaskStats {
  /** When they were counted: at most a second ago, because answers are shared. */
  countedAt: string;
  countsUpTo: number;
  states: Record<TaskState, number>;
  /** Tasks whose status changed within the last hour, by their state now. */
  changedInLastHour: Record<TaskState, number>;
  /** How long the oldest submitted task has waited to be started. */
  oldestSubmittedSeconds?: number;
  /** Seconds from acceptance to the end, of the newest completed tasks, at most 1,000. */
  completion?: { tasks: number; p50: number; p90: number; p99: number };
}

/** Tokens and cost of a caller, by day (UTC) and model. */
export interface UsageReport {
  /** The first and the last day, both included: YYYY-MM-DD. */
  since: string;
  until: string;
  lines: (Usage & { day: string; model: string })[];
}

/** Tokens and cost of the most costly owners, by day (UTC), for operators. */
export interface OwnersUsage {
  since: string;
  until: string;
  lines: (Usage & { day: string; owner: string })[];
}

/** A task of any owner, for operators. */
export interface OpsTask extends Omit<TaskSummary, 'usage' | 'webhook' | 'statusText'> {
  tenant: string;
  owner: string;
  turn: number;
  /** The worker that runs the turn, or has run it last. */
  worker?: string;
  /** Attempts of the turn since its last recorded step. */
  attempts: number;
  /** Failures of partners in a row, and since when. */
  failures: number;
  failingSince?: string;
  /** When the turn may run, unless the task waits for its user or has ended. */
  runAt?: string;
  deadlineAt?: string;
  /** The message of the turn, and that of the status. Texts are cut. */
  message?: Message;
  statusMessage?: Message;
  /** The first ones that fit, in their order. Texts are cut. */
  artifacts: Artifact[];
  /** How many more artifacts it has. */
  artifactsLeftOut: number;
}

/** The records of the steps of a turn, for operators. */
export interface OpsSteps {
  taskId: string;
  turn: number;
  /** In their order. */
  steps: OpsStep[];
  /** For the steps before these. Empty: there are none. */
  nextPageToken: string;
}

export interface OpsStep {
  name: string;
  occurrence: number;
  startedAt: string;
  /** Absent while it runs, or waits. */
  endedAt?: string;
  /** The arguments of a call of a tool by the model, as JSON. Other steps record no input. */
  input?: string;
  /** JSON. */
  output?: string;
  /** Bytes of the output, if it is cut or left out. */
  cutFromBytes?: number;
}
