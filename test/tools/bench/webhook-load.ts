/** Sends tasks with webhooks, and receives them. */
import { createServer, type RequestListener } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import type { JobResult, WebhookJob } from './jobs.ts';
import { fill, now, summarise } from './requests.ts';

/** Each receiver has an address of its own, because the dispatcher shares its attempts by host. */
export const getAddress = (receiver: number): string => `127.0.1.${receiver + 1}`;

async function listen(onRequest: RequestListener) {
  const server = createServer(onRequest);
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '0.0.0.0', backlog: 4096 }, resolve));
  return { server, port: (server.address() as { port: number }).port };
}

/** Measures from the timestamp of an event to its arrival. */
export async function receiveWebhooks(job: WebhookJob): Promise<JobResult> {
  const { receivers = 1, hanging = 0, answerMs = 0 } = job;
  const good = receivers - hanging;
  const latencies: number[] = [];
  let arrived: () => void = () => undefined;
  const { server, port } = await listen((incoming, outgoing) => {
    const at = now();
    if (Number(incoming.socket.localAddress?.split('.').at(-1)) > good) return;
    let text = '';
    incoming.on('data', (chunk) => (text += String(chunk)));
    incoming.on('end', () => {
      const answer = () => outgoing.writeHead(204).end();
      if (answerMs > 0) setTimeout(answer, answerMs);
      else answer();
      const written = /"timestamp":"([^"]+)"/.exec(text)?.[1] ?? '';
      latencies.push(at - Date.parse(written));
      arrived();
    });
  });
  const body = job.body?.replace('%PORT%', String(port));
  const pool = new Pool(job.url, { connections: job.connections });
  const from = performance.now();
  let sent = 0;
  let awaited = 0;
  const untilArrived = async (count: number) => {
    while (latencies.length < count) await new Promise<void>((done) => (arrived = done));
  };
  const send = async (): Promise<void> => {
    const receiver = sent++ % receivers;
    if (receiver < good) awaited += job.each;
    const filled = fill({ ...job, body: body?.replace('%HOST%', getAddress(receiver)) }, '');
    const response = await pool.request({ method: 'POST', ...filled });
    const text = await response.body.text();
    if (text.includes('"error"')) throw new Error(text);
  };
  if (job.rate === undefined) {
    const isIdle = job.connections === 1;
    await Promise.all(
      Array.from({ length: job.connections }, async () => {
        while (sent < job.count) {
          await send();
          // One connection measures an idle system: the next task waits for the webhooks of this one.
          if (isIdle) await untilArrived(awaited);
        }
      }),
    );
  } else {
    const sending: Promise<void>[] = [];
    while (sent < job.count) {
      const waitMs = from + (1000 * sent) / job.rate - performance.now();
      if (waitMs > 1) await sleep(waitMs);
      sending.push(send());
    }
    await Promise.all(sending);
  }
  await untilArrived(awaited);
  const perSecond = (latencies.length * 1000) / (performance.now() - from);
  await pool.close();
  server.closeAllConnections();
  server.close();
  return { perSecond, latencies: summarise(latencies), ids: [] };
}

/** Answers everything at once with 204, until the process ends. */
export async function openReceiver(): Promise<JobResult> {
  const { port } = await listen((incoming, outgoing) => {
    incoming.resume().on('end', () => outgoing.writeHead(204).end());
  });
  return { perSecond: 0, latencies: summarise([]), ids: [String(port)] };
}
