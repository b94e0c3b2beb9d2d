/** A real HTTP server that keeps what it is sent: a webhook receiver, or a tool with a log. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { Cleanup } from '../processes/processes.ts';

export interface Received {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  at: number;
}

/** A status, 0 to hang up without an answer; undefined: it is answered already, or never is. */
type Answer = (request: Received, response: ServerResponse) => number | void | Promise<number | void>;

export interface Receiver {
  readonly url: string;
  readonly received: readonly Received[];
  /** The status of the next answers; the last one stays. 0: hang up without an answer. */
  answer(...statuses: number[]): void;
  /** Decides each answer from here on. */
  answerBy(answer: Answer): void;
  /** The numbers of the events that the webhooks tell of, as they came. */
  events(): number[];
  /** Resolves when as many have come; rejects after the bound. */
  count(wanted: number, boundMs?: number): Promise<readonly Received[]>;
}

export async function startReceiver(t: Cleanup): Promise<Receiver> {
  const received: Received[] = [];
  const waiting = new Set<() => void>();
  let answer: Answer = () => 200;
  const server = createServer((request, response) => {
    void (async () => {
      const { method = '', url = '', headers } = request;
      const body = (await buffer(request)).toString();
      const got = { method, path: url, headers, body, at: performance.now() };
      received.push(got);
      for (const look of waiting) look();
      const status = await answer(got, response);
      if (status === 0) request.socket.destroy();
      else if (status !== undefined) response.writeHead(status).end('said so');
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/hook`,
    received,
    answer: (...statuses) => {
      answer = () => (statuses.length > 1 ? statuses.shift() : statuses[0]);
    },
    answerBy: (next) => (answer = next),
    events: () => received.map(({ headers }) => Number(headers['longhaul-event'])),
    count: (wanted, boundMs = 60_000) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(look);
          reject(
            new Error(`${received.length} of ${wanted} came: ${received.map((one) => one.body).join('\n')}`),
          );
        }, boundMs);
        const look = (): void => {
          if (received.length < wanted) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve(received);
        };
        waiting.add(look);
        look();
      }),
  };
}
