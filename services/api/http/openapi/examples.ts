/** Examples of requests and answers, by operation. A test sends the requests and validates the answers. */

const taskId = '0196b3f2-6a41-7c52-9f0e-3b8d5f1c2a77';
const contextId = '0196b3f2-6a41-7c52-9f0e-3b8d5f1c2a78';
const message = {
  messageId: 'report-2026-11-30',
  role: 'ROLE_USER',
  parts: [{ text: 'Write the report of this week.' }],
};
const task = {
  id: taskId,
  contextId,
  status: { state: 'TASK_STATE_SUBMITTED', timestamp: '2026-11-30T09:00:00.000Z' },
  history: [{ ...message, contextId, taskId }],
};
const webhook = { url: 'https://example.org/a2a', token: 'chosen-by-the-client' };

interface Example {
  request?: object;
  answer?: object;
}

export const examples: Readonly<Record<string, Example>> = {
  SendMessage: {
    request: { message, configuration: { returnImmediately: true } },
    answer: { task },
  },
  SendStreamingMessage: { request: { message } },
  GetTask: { answer: task },
  ListTasks: { answer: { tasks: [task], nextPageToken: '', pageSize: 50, totalSize: 1 } },
  CreateTaskPushNotificationConfig: {
    request: webhook,
    answer: { ...webhook, id: '0196b3f2-6a41-7c52-9f0e-3b8d5f1c2a79', taskId },
  },
  CancelTasks: {
    request: { taskIds: [taskId], dryRun: true },
    answer: { dryRun: true, results: [{ taskId, outcome: 'canceled', state: 'TASK_STATE_WORKING' }] },
  },
  RerunTasks: {
    request: { taskIds: [taskId], dryRun: true },
    answer: { dryRun: true, results: [{ taskId, outcome: 'started' }] },
  },
  RedeliverWebhooks: { request: { since: '2026-11-30T00:00:00Z', health: 'failing', dryRun: true } },
  RedeliverFailed: { request: { since: '2026-11-30T00:00:00Z' }, answer: { count: 3 } },
  ChangeWebhookSecret: { request: { overlapSeconds: 3_600 } },
  PutSchedule: {
    request: {
      cron: '0 9 * * 1',
      timeZone: 'Europe/Berlin',
      request: { message: { role: 'ROLE_USER', parts: message.parts } },
      overlap: 'skip',
    },
  },
  WakeTurns: { request: { stalled: true }, answer: { taskIds: [] } },
  DrainWorker: { request: { worker: 'worker-1' }, answer: { worker: 'worker-1' } },
  CallJsonRpc: {
    request: { jsonrpc: '2.0', id: 1, method: 'GetTask', params: { id: taskId } },
    answer: { jsonrpc: '2.0', id: 1, result: task },
  },
};
