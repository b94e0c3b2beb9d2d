/**
 * The receivers of the zoo, as a separate process. Argument 1 is the number of each kind, as JSON. The
 * process prints one line with their URLs and the URL of a report, which lists every request that arrived.
 */
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** `[receiver, task, event, milliseconds since 1970, accepted]` */
export type Arrival = [receiver: number, taskId: string, event: number, at: number, accepted: boolean];

interface Visit {
  /** How often this webhook has arrived at the receiver, including now. */
  attempt: number;
  /** How many requests have arrived at the receiver, including now. */
  request: number;
}

/** Each kind answers in its own way, and returns whether it accepts the webhook. */
const kinds: Record<string, (response: ServerResponse, visit: Visit) => boolean | Promise<boolean>> = {
  good: (response) => answer(response, 204),
  slow: async (response) => {
    await delay(1_500);
    return answer(response, 200);
  },
  hanging: () => false,
  closing: (response, { attempt }) => {
    if (attempt > 1) return answer(response, 200);
    response.destroy();
    return false;
  },
  breaking: (response) => {
    response.writeHead(200, { 'content-length': 1000 }).write('half of');
    setImmediate(() => response.destroy());
    return true;
  },
  endless: (response) => {
    response.writeHead(200);
    const more = (): void => {
      while (!response.destroyed && response.write('x'.repeat(16_384)));
      response.once('drain', more);
    };
    more();
    return true;
  },
  redirecting: (response) => {
    response.writeHead(302, { location: 'http://169.254.169.254/' }).end();
    return false;
  },
  gone: (response) => !answer(response, 410),
  busy: (response, { attempt }) => {
    if (attempt > 1) return answer(response, 200);
    response.writeHead(429, { 'retry-after': '1' }).end();
    return false;
  },
  flapping: (response, { request }) => answer(response, request % 2 === 0 ? 503 : 200) && request % 2 !== 0,
  /** Has an https: URL, but speaks http. */
  'not-tls': () => false,
};

function answer(response: ServerResponse, status: number): boolean {
  response.writeHead(status).end();
  return true;
}

const counts = JSON.parse(process.argv[2] ?? '{}') as Record<string, number>;
const arrivals: Arrival[] = [];
const urls: { kind: string; url: string }[] = [];
const control = await listen((_request, response) => response.end(JSON.stringify(arrivals)));
for (const [kind, count] of Object.entries(counts)) {
  const receive = kinds[kind];
  if (receive === undefined) throw new Error(`unknown kind of receiver: ${kind}`);
  for (let n = 0; n < count; n++) {
    const receiver = urls.length;
    const attempts = new Map<string, number>();
    let requests = 0;
    const port = await listen((request, response) => {
      request.resume().once('end', () => {
        const { 'webhook-id': id, 'longhaul-task-id': taskId, 'longhaul-event': event } = request.headers;
        const attempt = (attempts.get(String(id)) ?? 0) + 1;
        attempts.set(String(id), attempt);
        const at = Date.now();
        void Promise.resolve(receive(response, { attempt, request: (requests += 1) })).then((accepted) =>
          arrivals.push([receiver, String(taskId), Number(event), at, accepted]),
        );
      });
    });
    urls.push({ kind, url: `${kind === 'not-tls' ? 'https' : 'http'}://127.0.0.1:${port}/hook` });
  }
}
process.stdout.write(`${JSON.stringify({ control: `http://127.0.0.1:${control}/report`, urls })}\n`);

async function listen(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}
