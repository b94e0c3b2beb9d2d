/** JSON-RPC calls of load processes. A small client: they share their cores with the measured services. */
import { Agent, type Dispatcher } from 'undici';

export interface Answer {
  status: number;
  /** The start of the body. */
  text: string;
  bytes: number;
}

export interface ApiClient {
  /** Posts a body. Reads the whole answer, but keeps only its first 64 KiB. */
  post(path: string, body: string | Buffer, signal?: AbortSignal): Promise<Answer>;
  /** Calls a method over JSON-RPC. */
  call(method: string, params: object, signal?: AbortSignal): Promise<Answer>;
  /** The same; the answer is not read yet. */
  open(method: string, params: object, signal?: AbortSignal): Promise<Dispatcher.ResponseData>;
}

const keptBytes = 64 * 1024;

/**
 * @param timeoutMs the time until the headers of an answer, and between two pieces of its body
 * @param localAddress the address of the client
 */
export function createApiClient(
  url: string,
  key: string,
  timeoutMs: number,
  localAddress = '127.0.0.1',
): ApiClient {
  const dispatcher = new Agent({
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    connections: 500,
    connect: { localAddress },
  });
  const headers = { 'content-type': 'application/json', 'a2a-version': '1.0', 'x-api-key': key };
  const send = (path: string, body: string | Buffer, signal?: AbortSignal) =>
    dispatcher.request({ origin: url, path, method: 'POST', headers, body, ...(signal && { signal }) });
  const post: ApiClient['post'] = async (path, body, signal) => {
    const response = await send(path, body, signal);
    let text = '';
    let bytes = 0;
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (text.length < keptBytes) text += chunk.toString('latin1');
    }
    return { status: response.statusCode, text, bytes };
  };
  return {
    post,
    call: (method, params, signal) => post('/a2a/jsonrpc', toRpc(method, params), signal),
    open: (method, params, signal) => send('/a2a/jsonrpc', toRpc(method, params), signal),
  };
}

export function toRpc(method: string, params: object): string {
  return JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
}
