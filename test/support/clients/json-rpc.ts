/** A minimal JSON-RPC client: it sends requests as given, and returns answers as received. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AnyJson } from './any-json.ts';

export interface JsonRpcAnswer {
  result?: AnyJson;
  error?: { code: number; message: string; data?: unknown };
}

export interface JsonRpcOptions {
  /** Added to `content-type: application/json` and `a2a-version: 1.0`, which they may replace. */
  headers?: Record<string, string>;
  id?: unknown;
  signal?: AbortSignal;
}

/** Sends one call to the api service at `url` and returns the response, unread. */
export function postJsonRpc(
  url: string,
  method: string,
  params: unknown,
  { headers = {}, id = 1, signal }: JsonRpcOptions = {},
): Promise<Response> {
  return fetch(`${url}/a2a/jsonrpc`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'a2a-version': '1.0', ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', id, method, params }),
    ...(signal !== undefined && { signal }),
  });
}

/**
 * Sends one call and returns its answer. Like other clients, it retries a 503 after its `Retry-After`, up to
 * five times.
 */
export async function callJsonRpc(
  url: string,
  method: string,
  params: unknown,
  options: JsonRpcOptions = {},
): Promise<JsonRpcAnswer> {
  for (let tries = 1; ; tries++) {
    const response = await postJsonRpc(url, method, params, options);
    const answer = (await response.json()) as JsonRpcAnswer;
    if (response.status !== 503 || tries === 5) return answer;
    await sleep(1000 * Number(response.headers.get('retry-after')));
  }
}
