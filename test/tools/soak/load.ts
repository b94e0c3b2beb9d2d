/**
 * The load of the soak, in a process of its own: of ten calls, four send a message and read its task twice, two read a
 * stream to its end, two wait for a whole task, one sends with a webhook, which this process receives, and one lists tasks.
 */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { serveParent } from '../bench/serve-parent.ts';
import { getPercentile } from '../percentile.ts';

export interface MixJob {
  url: string;
  seconds: number;
  /** Calls a second; undefined: as many as 32 connections can. */
  rate: number | undefined;
}

export interface MixResult {
  perSecond: number;
  calls: number;
  /** Milliseconds, of sends that return at once, and of whole tasks. */
  acceptP99: number;
  wholeP99: number;
  /** Those that arrived since the result before. */
  webhooks: number;
  /** Webhooks of the tasks that were sent with one: three each. */
  expectedWebhooks: number;
  failures: number;
}

const dispatcher = new Agent({ connections: 256 });
const headers = { 'content-type': 'application/json', 'a2a-version': '1.0' };
/** Webhooks since the last result: some arrive between two jobs. */
let webhooks = 0;
const receiver = createServer((incoming, outgoing) => {
  incoming.resume().on('end', () => {
    webhooks += 1;
    outgoing.writeHead(204).end();
  });
});
await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
const hook = `http://127.0.0.1:${(receiver.address() as { port: number }).port}/webhook`;

async function call(url: string, method: string, params: object): Promise<string> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
  const response = await request(`${url}/a2a/jsonrpc`, { method: 'POST', headers, body, dispatcher });
  const text = await response.body.text();
  if (response.statusCode >= 400 || text.includes('"error"'))
    throw new Error(`${method}: ${text.slice(0, 300)}`);
  return text;
}

function send(url: string, configuration: object, method = 'SendMessage'): Promise<string> {
  const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'soak' }] };
  return call(url, method, { message, configuration });
}

async function runJob({ url, seconds, rate }: MixJob): Promise<MixResult> {
  const accepts: number[] = [];
  const wholes: number[] = [];
  let [calls, failures, withWebhook] = [0, 0, 0];
  const timed = async (times: number[], run: () => Promise<string>) => {
    const from = performance.now();
    const text = await run();
    times.push(performance.now() - from);
    return text;
  };
  async function callOnce(place: number): Promise<void> {
    const immediately = { returnImmediately: true };
    if (place < 4) {
      const text = await timed(accepts, () => send(url, immediately));
      const id = /"id":"([0-9a-f]{8}-[^"]+)"/.exec(text)?.[1];
      for (let read = 0; read < 2; read++) await call(url, 'GetTask', { id });
    } else if (place < 6) await timed(wholes, () => send(url, {}, 'SendStreamingMessage'));
    else if (place < 8) await timed(wholes, () => send(url, {}));
    else if (place < 9) {
      await timed(accepts, () => send(url, { ...immediately, taskPushNotificationConfig: { url: hook } }));
      withWebhook += 1;
    } else await call(url, 'ListTasks', { pageSize: 20 });
  }
  const next = () =>
    callOnce(calls++ % 10).catch((error: unknown) => {
      if ((failures += 1) <= 3) console.error(String(error));
    });
  const from = performance.now();
  const until = from + 1000 * seconds;
  if (rate === undefined) {
    await Promise.all(
      Array.from({ length: 32 }, async () => {
        while (performance.now() < until) await next();
      }),
    );
  } else {
    const open = new Set<Promise<void>>();
    for (let dueAt = from; dueAt < until; dueAt += 1000 / rate) {
      const waitMs = dueAt - performance.now();
      if (waitMs > 1) await sleep(waitMs);
      const one = next().finally(() => open.delete(one));
      open.add(one);
    }
    await Promise.all(open);
  }
  const p99 = (times: number[]) =>
    getPercentile(
      times.toSorted((a, b) => a - b),
      0.99,
    ) ?? Number.NaN;
  const result: MixResult = {
    perSecond: (1000 * calls) / (performance.now() - from),
    acceptP99: p99(accepts),
    wholeP99: p99(wholes),
    calls,
    webhooks,
    expectedWebhooks: 3 * withWebhook,
    failures,
  };
  webhooks = 0;
  return result;
}

serveParent(runJob);
