/** The JSON of the agent that `#shared/domain` does not describe: A2A objects and the answers of extensions. */
import type { ArtifactUpdate, StatusUpdate, TaskStatus } from '#shared/domain/events.ts';
import type { Artifact, Json, JsonObject, Message } from '#shared/domain/message.ts';
import type { OwnerLimit } from '#shared/domain/owner-limits.ts';
import type { TaskState } from '#shared/domain/task.ts';
import type { TimelineDelivery } from '#shared/domain/views.ts';

export interface Task {
  id: string;
  contextId: string;
  status: TaskStatus;
  artifacts?: Artifact[];
  history?: Message[];
  metadata?: JsonObject;
}

export type StreamPayload =
  | { task: Task }
  | { statusUpdate: StatusUpdate }
  | { artifactUpdate: ArtifactUpdate }
  | { message: Message };

export interface SendParams {
  message: Message;
  configuration?: JsonObject;
  metadata?: JsonObject;
}

export interface Webhook {
  id: string;
  url: string;
  events: string;
  order: string;
  hasSecret: boolean;
  hasToken: boolean;
  protocolVersion: string;
  createdAt: string;
  failuresInARow: number;
  state: 'active' | 'disabled';
  nextAttemptAt?: string;
  disabledAt?: string;
  disabledReason?: string;
}

export type WebhookHealth = 'ok' | 'failing' | 'disabled';

/** A webhook in the list of those of all tasks. */
export interface ListedWebhook extends Webhook {
  taskId: string;
  health: WebhookHealth;
  /** The last attempt at its newest event. */
  lastAttempt?: DeliveryAttempt;
}

export interface RedeliverRequest {
  since: string;
  dryRun: boolean;
  health?: 'failing' | 'disabled';
  host?: string;
  pageToken?: string;
}

export interface RedeliverResult {
  /** Deliveries that are sent again. */
  count: number;
  webhooks: { taskId: string; id: string; outcome: string }[];
  nextPageToken: string;
  /** The limit of requests is reached: the rest may be requested then. */
  retryAfterSeconds?: number;
}

/** A step of a turn, by which a rerun may start. */
export interface StepName {
  name: string;
  occurrence: number;
}

/** The result of a rerun from a step, or of its dry run. */
export interface RestartResult {
  outcome: string;
  turn?: number;
  /** Those that run again. */
  steps?: StepName[];
  /** Why it was refused. */
  message?: string;
}

export interface DeliveryAttempt {
  attempt: number;
  startedAt: string;
  durationMs: number;
  status?: number;
  error?: string;
  responseStart?: string;
}

export interface Delivery {
  webhookId: string;
  event?: number;
  test?: boolean;
  state: TimelineDelivery['state'];
  createdAt: string;
  settledAt?: string;
  dueAt?: string;
  deferredReason?: string;
  attempts: DeliveryAttempt[];
}

export interface Schedule {
  id: string;
  cron?: string;
  timeZone?: string;
  everySeconds?: number;
  overlap: 'skip' | 'queue' | 'cancel' | 'allow';
  catchUpSeconds: number;
  paused: boolean;
  request: { message: Partial<Message>; [key: string]: Json | Partial<Message> };
  nextAt?: string;
  lastTaskId?: string;
  createdAt: string;
  updatedAt: string;
}

export interface Firing {
  dueAt: string;
  until?: string;
  count?: number;
  state: string;
  reason?: string;
  taskId?: string;
  manual?: boolean;
}

export interface AgentCard {
  name: string;
  description: string;
  version: string;
  supportedInterfaces: { url: string; protocolBinding: string; protocolVersion: string }[];
  capabilities: {
    streaming?: boolean;
    pushNotifications?: boolean;
    extendedAgentCard?: boolean;
    extensions?: { uri: string; description?: string; required?: boolean }[];
  };
  defaultInputModes: string[];
  defaultOutputModes: string[];
  skills: { id: string; name: string; description: string; tags?: string[]; examples?: string[] }[];
  securitySchemes?: Record<string, JsonObject>;
  securityRequirements?: JsonObject[];
  signatures?: { protected: string; signature: string }[];
}

/** Counts of work that waits, and ages of the oldest in seconds, over all owners. */
export interface Backlog {
  turnsWaiting: number;
  turnsWaitingAge: number;
  turnsLeased: number;
  turnsDelayed: number;
  turnsQueued: number;
  ownersLimited: number;
  turnsUnserved: number;
  turnsStalledAge: number;
  outboxAge: number;
  webhooksPending: number;
  webhooksStalledAge: number;
}

export interface RunningWorker {
  worker: string;
  turns: number;
  oldestClaimedAt: string;
  firstLeaseUntil: string;
  draining: boolean;
}

export type WorkKind = 'parked' | 'failing' | 'stalled' | 'overdue';

/** A task that makes no progress. */
export interface StuckTask {
  taskId: string;
  tenant: string;
  owner: string;
  state: TaskState;
  /** Its meaning depends on the kind: docs/extensions/operator.md. */
  at: string;
  failures: number;
  lastError?: string;
}

export interface ModelQuota {
  model: string;
  waitSeconds: number;
  parked: number;
}

export interface FailingHost {
  host: string;
  webhooks: number;
  owners: number;
  deliveries: number;
  oldestCreatedAt: string;
}

export interface OwnerReport {
  owner: string;
  limits: Record<OwnerLimit, number>;
  /** Limits that are set for this owner. */
  own: Partial<Record<OwnerLimit, number>>;
  usage: Record<OwnerLimit, number>;
  near: OwnerLimit[];
}
