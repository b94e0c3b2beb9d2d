/**
 * The load, in a separate process, so that it does not count towards the measured processes. It gets jobs as messages, one
 * at a time, and answers each with its result.
 */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { Pool, request } from 'undici';
import { getPercentile } from '../percentile.ts';
import { Connection } from './http-client.ts';
import type { Job, JobResult, RequestJob, RequestTemplate, StreamJob, WebhookJob } from './jobs.ts';
import { serveParent } from './serve-parent.ts';

const now = () => performance.timeOrigin + performance.now();

serveParent(async (job: Job) => ({ result: await run(job) }));

function run(job: Job): Promise<JobResult> {
  switch (job.kind) {
    case 'requests':
      return sendRequests(job);
    case 'streams':
      return readStreams(job);
    case 'webhooks':
      return receiveWebhooks(job);
    case 'open':
      return openStreams(job);
    default:
      return job satisfies never;
  }
}

/** A closed loop: each connection sends its next request when the previous one is answered. */
async function sendRequests(job: RequestJob): Promise<JobResult> {
  const connections = await Promise.all(
    Array.from({ length: job.connections }, () => Connection.open(job.url)),
  );
  const latencies: number[] = [];
  const ids: string[] = [];
  const from = performance.now();
  const until = from + job.seconds * 1000;
  let sent = 0;
  const more = () => (job.count === undefined ? performance.now() < until : sent < job.count);
  await Promise.all(
    connections.map(async (connection) => {
      while (more()) {
        const task = job.tasks[sent++ % job.tasks.length] ?? '';
        const started = performance.now();
        const { status, text } = await connection.send({ method: job.method, ...fill(job, task) });
        latencies.push(performance.now() - started);
        if (status >= 400 || text.includes('"error"')) throw new Error(`${job.path}: ${text}`);
        if (job.keepIds) ids.push(/"id":"([0-9a-f]{8}-[^"]+)"/.exec(text)?.[1] ?? '');
      }
    }),
  );
  const perSecond = (latencies.length * 1000) / (performance.now() - from);
  for (const connection of connections) connection.close();
  return { perSecond, latencies: summarise(latencies), ids };
}

function fill({ path, headers, body }: RequestTemplate, task: string) {
  return {
    path: path.replace('%TASK%', task),
    headers,
    body: body?.replace('%TASK%', task).replace('%NEW%', randomUUID()) ?? null,
  };
}

/**
 * Reads streams, one after the other on each connection. Measures from the request to the completed event, and from the
 * time that an event carries to its arrival.
 */
async function readStreams(job: StreamJob): Promise<JobResult> {
  const whole: number[] = [];
  const events: number[] = [];
  let left = job.count;
  const from = performance.now();
  await Promise.all(
    Array.from({ length: job.connections }, async () => {
      while (left-- > 0) {
        const { body, path, headers } = fill(job, '');
        const started = performance.now();
        const response = await request(job.url + path, { method: 'POST', headers, body });
        for await (const chunk of response.body) {
          const text = String(chunk);
          const at = now();
          for (const [, written] of text.matchAll(/"text":"(\d{13}\.\d+)"/g))
            events.push(at - Number(written));
          if (text.includes('TASK_STATE_COMPLETED')) whole.push(performance.now() - started);
        }
      }
    }),
  );
  const perSecond = (job.count * 1000) / (performance.now() - from);
  return { perSecond, latencies: summarise(job.events ? events : whole), ids: [] };
}

/** Sends tasks and receives their webhooks. Measures from the timestamp of an event to its arrival. */
async function receiveWebhooks(job: WebhookJob): Promise<JobResult> {
  const latencies: number[] = [];
  let arrived: () => void = () => undefined;
  const server = createServer((incoming, outgoing) => {
    const at = now();
    let text = '';
    incoming.on('data', (chunk) => (text += String(chunk)));
    incoming.on('end', () => {
      outgoing.writeHead(204).end();
      const written = /"timestamp":"([^"]+)"/.exec(text)?.[1] ?? '';
      latencies.push(at - Date.parse(written));
      arrived();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const body = job.body?.replace('%PORT%', String(port));
  const pool = new Pool(job.url, { connections: job.connections });
  const from = performance.now();
  let sent = 0;
  await Promise.all(
    Array.from({ length: job.connections }, async () => {
      while (sent++ < job.count) {
        const filled = fill({ ...job, body }, '');
        const before = latencies.length;
        const response = await pool.request({ method: 'POST', ...filled });
        const text = await response.body.text();
        if (text.includes('"error"')) throw new Error(text);
        if (job.connections > 1) continue;
        // One connection measures an idle system: the next task waits for the webhooks of this one.
        while (latencies.length < before + job.each) await new Promise<void>((done) => (arrived = done));
      }
    }),
  );
  while (latencies.length < job.count * job.each) await new Promise<void>((done) => (arrived = done));
  const perSecond = (latencies.length * 1000) / (performance.now() - from);
  await pool.close();
  server.close();
  return { perSecond, latencies: summarise(latencies), ids: [] };
}

/** Opens a stream to each task, resolves once each has had its first event, and leaves all of them open. */
async function openStreams(job: RequestJob): Promise<JobResult> {
  const from = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: job.connections }, async () => {
      for (let at = next++; at < job.tasks.length; at = next++) {
        const { body, path, headers } = fill(job, job.tasks[at] ?? '');
        const { method, url } = job;
        const response = await request(url + path, { method, headers, body, bodyTimeout: 0 });
        await new Promise<void>((resolve, reject) => {
          response.body.once('data', () => resolve());
          response.body.on('error', reject);
        });
      }
    }),
  );
  return {
    perSecond: (job.tasks.length * 1000) / (performance.now() - from),
    latencies: summarise([]),
    ids: [],
  };
}

function summarise(latencies: number[]): JobResult['latencies'] {
  const sorted = latencies.toSorted((a, b) => a - b);
  return {
    count: sorted.length,
    p50: getPercentile(sorted, 0.5) ?? 0,
    p99: getPercentile(sorted, 0.99) ?? 0,
  };
}
