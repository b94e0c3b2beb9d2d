/** The jobs that the load process accepts, and its result for each. */

export interface RequestTemplate {
  url: string;
  /** `%TASK%` is replaced by one of `tasks`, in the header `mcp-name` too, `%NEW%` by a new UUID, `%PORT%` by the port of the webhook receiver. */
  path: string;
  headers: Record<string, string>;
  body?: string | undefined;
  connections: number;
}

export interface RequestJob extends RequestTemplate {
  kind: 'requests' | 'open';
  method: 'GET' | 'POST';
  /** Duration, unless `count` is given. */
  seconds: number;
  count?: number;
  tasks: string[];
  keepIds: boolean;
}

export interface StreamJob extends RequestTemplate {
  kind: 'streams';
  count: number;
  /** True: measures each event; false: measures whole streams. */
  events: boolean;
}

export interface WebhookJob extends RequestTemplate {
  kind: 'webhooks';
  count: number;
  /** Webhooks of each task. */
  each: number;
  /** `%HOST%` in the body is replaced by the addresses of this many receivers in turn. Default: 1. */
  receivers?: number;
  /** The last of the receivers, which never answer. Their webhooks are neither measured nor awaited. Default: 0. */
  hanging?: number;
  /** How long the receivers take to answer. Default: 0. */
  answerMs?: number;
  /** Tasks a second, independent of the answers. Default: each connection sends its next task when it is answered. */
  rate?: number;
}

/** Starts a receiver of webhooks that stays open, and has its port as the only id of its result. */
export interface ReceiverJob {
  kind: 'receiver';
}

export type Job =
  | (RequestJob & { kind: 'requests' })
  | (RequestJob & { kind: 'open' })
  | StreamJob
  | WebhookJob
  | ReceiverJob;

export interface JobResult {
  perSecond: number;
  /** Milliseconds. */
  latencies: { count: number; p50: number; p99: number };
  /** Ids of the tasks in the responses, if the job keeps them. */
  ids: string[];
}

/** Concurrent requests for throughput: `containerConcurrency` of deploy/manifests/api.yaml. */
export const manyConnections = 500;

const headers = { 'content-type': 'application/json', 'a2a-version': '1.0' };
const rpcPath = { path: '/a2a/jsonrpc', headers, method: 'POST' as const };

function rpcBody(method: string, params: object): string {
  return JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
}

function sendBody(text: string, configuration: object, method = 'SendMessage'): string {
  const message = { messageId: '%NEW%', role: 'ROLE_USER', parts: [{ text }] };
  return rpcBody(method, { message, configuration });
}

/** SendMessage requests, for 2 s unless `more` says otherwise. */
export function createSendJob(
  url: string,
  text: string,
  configuration: object,
  more: Partial<RequestJob>,
): Job {
  const defaults = {
    ...rpcPath,
    connections: manyConnections,
    seconds: 2,
    tasks: [],
    keepIds: false,
  };
  return { ...defaults, url, body: sendBody(text, configuration), ...more, kind: 'requests' };
}

/** Requests of any JSON-RPC method. */
export function createCallJob(url: string, method: string, params: object, more: Partial<RequestJob>): Job {
  return createSendJob(url, '', {}, { ...more, body: rpcBody(method, params) });
}

/** Requests of MCP by a client that knows tasks, revision 2026-07-28. */
export function createMcpJob(
  url: string,
  method: string,
  params: Record<string, unknown>,
  more: Partial<RequestJob>,
): RequestJob & { kind: 'requests' } {
  const revision = '2026-07-28';
  const name = params['name'] ?? params['taskId'];
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': revision,
    'io.modelcontextprotocol/clientInfo': { name: 'bench', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': { extensions: { 'io.modelcontextprotocol/tasks': {} } },
  };
  return {
    method: 'POST',
    url,
    path: '/mcp',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': revision,
      'mcp-method': method,
      ...(typeof name === 'string' && { 'mcp-name': name }),
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta } }),
    connections: manyConnections,
    seconds: 2,
    tasks: [],
    keepIds: false,
    ...more,
    kind: 'requests',
  };
}

/** Conditional reads of tasks over HTTP+JSON, each answered with 304. */
export function createReadJob(url: string, tasks: string[], more: Partial<RequestJob>): Job {
  const defaults = {
    method: 'GET' as const,
    path: '/a2a/v1/tasks/%TASK%',
    headers: { ...headers, 'if-none-match': '*' },
    connections: manyConnections,
    seconds: 2,
    keepIds: false,
  };
  return { ...defaults, url, tasks, ...more, kind: 'requests' };
}

/** Reads of a path over HTTP+JSON. */
export function createGetJob(url: string, path: string, more: Partial<RequestJob>): Job {
  const fixed = { method: 'GET' as const, headers, keepIds: false };
  return { ...fixed, connections: 1, seconds: 2, tasks: [], ...more, url, path, kind: 'requests' };
}

/** Opens feeds of all tasks, and leaves them open. */
export function createFeedJob(url: string, count: number): Job {
  const fixed = {
    kind: 'open' as const,
    connections: 50,
    seconds: 0,
    keepIds: false,
    method: 'GET' as const,
  };
  return { ...fixed, url, path: '/a2a/v1/feed', headers, tasks: Array.from({ length: count }, () => '') };
}

/** SendStreamingMessage requests, each read to its end. */
export function createStreamJob(url: string, text: string, more: Partial<StreamJob>): Job {
  const body = sendBody(text, {}, 'SendStreamingMessage');
  return { ...rpcPath, kind: 'streams', url, body, connections: 1, count: 100, events: false, ...more };
}

/** Opens a subscription to each task, and leaves it open. */
export function createSubscriptionJob(url: string, tasks: string[]): Job {
  const body = rpcBody('SubscribeToTask', { id: '%TASK%' });
  const fixed = { kind: 'open' as const, connections: 50, seconds: 0, keepIds: false };
  return { ...rpcPath, ...fixed, url, body, tasks };
}

/** Sends tasks with a webhook, and receives their webhooks. */
export function createWebhookJob(url: string, more: Partial<WebhookJob>): Job {
  const configuration = {
    returnImmediately: true,
    taskPushNotificationConfig: { url: 'http://%HOST%:%PORT%/webhook' },
  };
  const body = sendBody('', configuration);
  return { ...rpcPath, kind: 'webhooks', url, body, connections: 1, count: 100, each: 3, ...more };
}
