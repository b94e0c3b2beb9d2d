/** What the process that makes the load can be told to do, and what it answers. */

export interface Load {
  url: string;
  /** `%TASK%` stands for one of `tasks`, `%NEW%` for a fresh UUID, `%PORT%` for the port of the receiver of webhooks. */
  path: string;
  headers: Record<string, string>;
  body?: string | undefined;
  connections: number;
}

export interface Requests extends Load {
  kind: 'requests' | 'open';
  method: 'GET' | 'POST';
  /** For so long, unless `count` says how many. */
  seconds: number;
  count?: number;
  tasks: string[];
  keepIds: boolean;
}

export interface Streams extends Load {
  kind: 'streams';
  count: number;
  /** True: the times of the events; false: those of the whole streams. */
  events: boolean;
}

export interface Webhooks extends Load {
  kind: 'webhooks';
  count: number;
  /** Webhooks of each task. */
  each: number;
}

export type Job = (Requests & { kind: 'requests' }) | (Requests & { kind: 'open' }) | Streams | Webhooks;

export interface Seen {
  perSecond: number;
  /** Milliseconds. */
  latencies: { count: number; p50: number; p99: number };
  /** Of the tasks in the answers, where they were to be kept. */
  ids: string[];
}

/** Requests under way at once where throughput is measured: as many as a front door is given (deploy/manifests/api.yaml). */
export const manyConnections = 500;

const headers = { 'content-type': 'application/json', 'a2a-version': '1.0' };
const rpcPath = { path: '/a2a/jsonrpc', headers, method: 'POST' as const };

function rpc(method: string, params: object): string {
  return JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
}

export function sendBody(text: string, configuration: object, method = 'SendMessage'): string {
  const message = { messageId: '%NEW%', role: 'ROLE_USER', parts: [{ text }] };
  return rpc(method, { message, configuration });
}

export function sends(url: string, text: string, configuration: object, more: Partial<Requests>): Job {
  const body = sendBody(text, configuration);
  const all = {
    ...rpcPath,
    kind: 'requests' as const,
    connections: manyConnections,
    seconds: 2,
    tasks: [],
    keepIds: false,
  };
  return { ...all, url, body, ...more, kind: 'requests' };
}

export function calls(url: string, method: string, params: object, more: Partial<Requests>): Job {
  return { ...sends(url, '', {}, more), body: rpc(method, params) };
}

export function reads(url: string, tasks: string[], more: Partial<Requests>): Job {
  const conditional = { ...headers, 'if-none-match': '*' };
  const base = {
    kind: 'requests' as const,
    method: 'GET' as const,
    connections: manyConnections,
    seconds: 2,
    keepIds: false,
  };
  return {
    ...base,
    url,
    path: '/a2a/v1/tasks/%TASK%',
    headers: conditional,
    tasks,
    ...more,
    kind: 'requests',
  };
}

export function streamsOf(url: string, text: string, more: Partial<Streams>): Job {
  const body = sendBody(text, {}, 'SendStreamingMessage');
  return { ...rpcPath, kind: 'streams', url, body, connections: 1, count: 100, events: false, ...more };
}

export function subscriptions(url: string, tasks: string[]): Job {
  const body = rpc('SubscribeToTask', { id: '%TASK%' });
  const fixed = { kind: 'open' as const, connections: 50, seconds: 0, keepIds: false };
  return { ...rpcPath, ...fixed, url, body, tasks };
}

export function hooks(url: string, more: Partial<Webhooks>): Job {
  const configuration = {
    returnImmediately: true,
    taskPushNotificationConfig: { url: 'http://127.0.0.1:%PORT%/hook' },
  };
  const body = sendBody('', configuration);
  return { ...rpcPath, kind: 'webhooks', url, body, connections: 1, count: 100, each: 3, ...more };
}
