/** The calls that several screens make, by name. */
import { signal } from '@preact/signals';
import type { SearchPage, TaskStats, Timeline, UsageReport } from '#shared/domain/views.ts';
import { call, request } from './http.ts';
import { basePath } from './session.ts';
import type { BulkResult } from '../lib/bulk.ts';
import type {
  AgentCard,
  Delivery,
  Firing,
  ListedWebhook,
  RedeliverRequest,
  RedeliverResult,
  RestartResult,
  Schedule,
  SendParams,
  StepName,
  Task,
  Webhook,
} from '../lib/types.ts';

const id = encodeURIComponent;

export const getTask = (taskId: string): Promise<Task> => call(`/tasks/${id(taskId)}`);
export const getTimeline = (taskId: string): Promise<Timeline> => call(`/tasks/${id(taskId)}/timeline`);
export const search = (query: URLSearchParams): Promise<SearchPage> => call(`/search?${query}`);
export const getStats = (): Promise<TaskStats> => call('/stats');
export const getUsage = (since: string, until: string): Promise<UsageReport> =>
  call(`/usage?since=${since}&until=${until}`);

/** Tasks with their newest messages and without artifacts. */
export const listTasks = (query: Record<string, string>): Promise<{ tasks: Task[] }> =>
  call(`/tasks?${new URLSearchParams({ historyLength: '1', includeArtifacts: 'false', ...query })}`);

export const send = (params: SendParams): Promise<{ task?: Task }> =>
  call('/message:send', { method: 'POST', body: params });
export const cancelTask = (taskId: string): Promise<Task> =>
  call(`/tasks/${id(taskId)}:cancel`, { method: 'POST', body: {} });

export const cancelTasks = (
  taskIds: readonly string[],
  dryRun: boolean,
): Promise<{ results: BulkResult[] }> => call('/tasks:cancel', { method: 'POST', body: { taskIds, dryRun } });
/** @param requestId the same for a repeat, which then starts no second task */
export const rerunTasks = (
  taskIds: readonly string[],
  dryRun: boolean,
  requestId: string,
): Promise<{ results: BulkResult[] }> =>
  call('/tasks:rerun', { method: 'POST', body: { taskIds, dryRun, requestId } });

/** Runs the current turn of a task again from this step. */
export const rerunFromStep = (
  taskId: string,
  fromStep: StepName,
  dryRun: boolean,
): Promise<{ results: RestartResult[] }> =>
  call('/tasks:rerun', { method: 'POST', body: { taskIds: [taskId], fromStep, dryRun } });

const webhookPath = (taskId: string, webhook: string): string =>
  `/tasks/${id(taskId)}/webhooks/${id(webhook)}`;
export const listWebhooks = (taskId: string): Promise<{ webhooks: Webhook[] }> =>
  call(`/tasks/${id(taskId)}/webhooks`);
export const listDeliveries = (
  taskId: string,
  webhook: string,
): Promise<{ deliveries: Delivery[]; nextPageToken: string }> =>
  call(`${webhookPath(taskId, webhook)}/deliveries?pageSize=100`);
export const redeliverEvent = (taskId: string, webhook: string, event: number): Promise<{ count: number }> =>
  call(`${webhookPath(taskId, webhook)}/deliveries/${event}/redeliver`, { method: 'POST', body: {} });
export const redeliverSince = (taskId: string, webhook: string, since: string): Promise<{ count: number }> =>
  call(`${webhookPath(taskId, webhook)}/redeliver`, { method: 'POST', body: { since } });
export const testWebhook = (taskId: string, webhook: string): Promise<{ count: number }> =>
  call(`${webhookPath(taskId, webhook)}/test`, { method: 'POST', body: {} });

export const listAllWebhooks = (
  query: URLSearchParams,
): Promise<{ webhooks: ListedWebhook[]; nextPageToken: string }> => call(`/webhooks?${query}`);
export const redeliverAll = (body: RedeliverRequest): Promise<RedeliverResult> =>
  call('/webhooks:redeliver', { method: 'POST', body });

const schedulePath = (schedule: string): string => `/schedules/${id(schedule)}`;
export const listSchedules = (): Promise<{ schedules: Schedule[]; nextPageToken: string }> =>
  call('/schedules?pageSize=100');
export const listFirings = (schedule: string): Promise<{ firings: Firing[] }> =>
  call(`${schedulePath(schedule)}/firings?pageSize=50`);
export const putSchedule = (schedule: string, body: unknown): Promise<Schedule> =>
  call(schedulePath(schedule), { method: 'PUT', body });
export const deleteSchedule = (schedule: string): Promise<object> =>
  call(schedulePath(schedule), { method: 'DELETE' });
export const actOnSchedule = (
  schedule: string,
  action: 'run' | 'pause' | 'resume',
): Promise<{ taskId?: string }> => call(`${schedulePath(schedule)}/${action}`, { method: 'POST', body: {} });

/** The card of the agent; undefined until it has been read. */
export const agentCard = signal<AgentCard | undefined>(undefined);

export async function loadCard(): Promise<AgentCard> {
  const { response, entry } = await request(`${basePath}/.well-known/agent-card.json`);
  const text = await response.text();
  entry.finish(text);
  agentCard.value = JSON.parse(text) as AgentCard;
  return agentCard.value;
}
