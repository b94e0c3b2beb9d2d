/** A JSON-RPC client as thin as curl: what it sends and returns is what is on the wire. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface JsonRpcAnswer {
  // oxlint-disable-next-line typescript/no-explicit-any -- answers are read field by field, as a client would
  result?: any;
  error?: { code: number; message: string; data?: unknown };
}

export interface JsonRpcOptions {
  /** Over `content-type: application/json` and `a2a-version: 1.0`. */
  headers?: Record<string, string>;
  id?: unknown;
}

/** Sends one call to the front door at `url` and returns the response, unread. */
export function postJsonRpc(
  url: string,
  method: string,
  params: unknown,
  { headers = {}, id = 1 }: JsonRpcOptions = {},
): Promise<Response> {
  return fetch(`${url}/a2a/jsonrpc`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'a2a-version': '1.0', ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', id, method, params }),
  });
}

/** Sends one call and returns its answer. A 503 is retried after its `Retry-After`, as clients do, up to five times. */
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
