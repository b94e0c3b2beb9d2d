/** A real HTTP server that stores its requests: a webhook receiver, or a tool with a log. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { Cleanup } from '../cleanup.ts';
import { listen } from '../network/listen.ts';

export interface Received {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  at: number;
}

/** Returns a status, 0 to close the connection, or undefined if it writes the response itself or never answers. */
type Answer = (request: Received, response: ServerResponse) => number | void | Promise<number | void>;

export interface Receiver {
  readonly url: string;
  readonly received: readonly Received[];
  /** Sets the statuses of the next answers; the last one is repeated. 0 closes the connection. */
  answer(...statuses: number[]): void;
  /** Sets the function that answers each request from now on. */
  answerBy(answer: Answer): void;
  /** Returns the event numbers of the webhooks, in the order in which they arrived. */
  events(): number[];
  /** Resolves when this many requests have arrived; rejects after the bound. */
  count(expected: number, boundMs?: number): Promise<readonly Received[]>;
  /** Resolves to the requests so far when the body of one matches; rejects after the bound. */
  match(body: RegExp, boundMs?: number): Promise<readonly Received[]>;
}

export async function startReceiver(t: Cleanup): Promise<Receiver> {
  const received: Received[] = [];
  const waiting = new Set<() => void>();
  let answer: Answer = () => 200;
  const server = createServer((request, response) => {
    void (async () => {
      const { method = '', url = '', headers } = request;
      const body = (await buffer(request)).toString();
      const entry = { method, path: url, headers, body, at: performance.now() };
      received.push(entry);
      for (const check of waiting) check();
      const status = await answer(entry, response);
      if (status === 0) request.socket.destroy();
      else if (status !== undefined) response.writeHead(status).end('said so');
    })();
  });
  const url = await listen(t, server);
  const until = (expected: string, arrived: () => boolean, boundMs = 60_000) =>
    new Promise<readonly Received[]>((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(check);
        const bodies = received.map(({ body }) => body).join('\n');
        reject(new Error(`${expected} did not arrive, but ${received.length} requests: ${bodies}`));
      }, boundMs);
      const check = (): void => {
        if (!arrived()) return;
        clearTimeout(timer);
        waiting.delete(check);
        resolve(received);
      };
      waiting.add(check);
      check();
    });
  return {
    url: `${url}/hook`,
    received,
    answer: (...statuses) => {
      answer = () => (statuses.length > 1 ? statuses.shift() : statuses[0]);
    },
    answerBy: (next) => (answer = next),
    events: () => received.map(({ headers }) => Number(headers['longhaul-event'])),
    count: (expected, boundMs) => until(`${expected} requests`, () => received.length >= expected, boundMs),
    match: (pattern, boundMs) =>
      until(`a request with ${pattern}`, () => received.some(({ body }) => pattern.test(body)), boundMs),
  };
}

/** Returns the headers of a request, as verifiers of signatures expect them. */
export function toHeaders({ headers }: Received): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}
