/** A real HTTP server that keeps what it is sent: a webhook receiver, or a tool with a log. */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  at: number;
}

export interface Receiver {
  readonly url: string;
  readonly received: readonly Received[];
  /** The status of the next answers; the last one stays. 0: hang up without an answer. */
  answer(...statuses: number[]): void;
  /** Resolves when as many have come; rejects after the bound. */
  count(wanted: number, boundMs?: number): Promise<readonly Received[]>;
}

export async function startReceiver(t: TestContext): Promise<Receiver> {
  const received: Received[] = [];
  const waiting = new Set<() => void>();
  let statuses = [200];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      received.push({ path: request.url ?? '', headers: request.headers, body, at: performance.now() });
      const status = statuses.length > 1 ? statuses.shift() : statuses[0];
      if (status === 0) request.socket.destroy();
      else response.writeHead(status ?? 200).end();
      for (const look of waiting) look();
    });
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
    answer: (...next) => (statuses = next),
    count: (wanted, boundMs = 15_000) =>
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
