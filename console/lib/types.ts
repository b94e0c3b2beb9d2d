/** The JSON of the agent that `#shared/domain` does not describe: A2A objects and the answers of extensions. */
import type { ArtifactUpdate, StatusUpdate, TaskStatus } from '#shared/domain/events.ts';
import type { Artifact, Json, JsonObject, Message } from '#shared/domain/message.ts';
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
  { task: Task } | { statusUpdate: StatusUpdate } | { artifactUpdate: ArtifactUpdate } | { message: Message };

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
