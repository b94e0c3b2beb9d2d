/**
 * The load, as a process of its own, so that making it does not sit in what is measured. It is told by messages what to
 * do, one thing at a time, and answers with what it saw.
 */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { Pool, request } from 'undici';
import { Connection } from './http-client.ts';
import { serve } from './serve.ts';
import type { Job, Load, Requests, Seen, Streams, Webhooks } from './jobs.ts';

const now = () => performance.timeOrigin + performance.now();

serve(async (job: Job) => ({ seen: await run(job) }));

function run(job: Job): Promise<Seen> {
  switch (job.kind) {
    case 'requests':
      return requests(job);
    case 'streams':
      return streams(job);
    case 'webhooks':
      return webhooks(job);
    case 'open':
      return open(job);
    default:
      return job satisfies never;
  }
}

/** A closed loop: each connection sends its next request when it has the answer to the one before. */
async function requests(job: Requests): Promise<Seen> {
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
        const began = performance.now();
        const { status, text } = await connection.send({ method: job.method, ...fill(job, task) });
        latencies.push(performance.now() - began);
        if (status >= 400 || text.includes('"error"')) throw new Error(`${job.path}: ${text}`);
        if (job.keepIds) ids.push(/"id":"([0-9a-f]{8}-[^"]+)"/.exec(text)?.[1] ?? '');
      }
    }),
  );
  const perSecond = (latencies.length * 1000) / (performance.now() - from);
  for (const connection of connections) connection.close();
  return { perSecond, latencies: summary(latencies), ids };
}

function fill({ path, headers, body }: Load, task: string) {
  return {
    path: path.replace('%TASK%', task),
    headers,
    body: body?.replace('%TASK%', task).replace('%NEW%', randomUUID()) ?? null,
  };
}

/**
 * Streams one after the other, or side by side: the time from the request to each event, and where an event carries the
 * time at which it was written, from that.
 */
async function streams(job: Streams): Promise<Seen> {
  const whole: number[] = [];
  const events: number[] = [];
  let left = job.count;
  const from = performance.now();
  await Promise.all(
    Array.from({ length: job.connections }, async () => {
      while (left-- > 0) {
        const { body, path, headers } = fill(job, '');
        const began = performance.now();
        const answer = await request(job.url + path, { method: 'POST', headers, body });
        for await (const chunk of answer.body) {
          const text = String(chunk);
          const at = now();
          for (const [, written] of text.matchAll(/"text":"(\d{13}\.\d+)"/g))
            events.push(at - Number(written));
          if (text.includes('TASK_STATE_COMPLETED')) whole.push(performance.now() - began);
        }
      }
    }),
  );
  const perSecond = (job.count * 1000) / (performance.now() - from);
  return { perSecond, latencies: summary(job.events ? events : whole), ids: [] };
}

/** Receives webhooks about the tasks that it sends: the time from the timestamp of an event to its arrival. */
async function webhooks(job: Webhooks): Promise<Seen> {
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
        const answer = await pool.request({ method: 'POST', ...filled });
        const text = await answer.body.text();
        if (text.includes('"error"')) throw new Error(text);
        if (job.connections > 1) continue;
        // Idle: the next task waits for the webhooks of this one.
        while (latencies.length < before + job.each) await new Promise<void>((done) => (arrived = done));
      }
    }),
  );
  while (latencies.length < job.count * job.each) await new Promise<void>((done) => (arrived = done));
  const perSecond = (latencies.length * 1000) / (performance.now() - from);
  await pool.close();
  server.close();
  return { perSecond, latencies: summary(latencies), ids: [] };
}

/** Opens a stream for each task, resolves when each has had its first event, and leaves them open. */
async function open(job: Requests): Promise<Seen> {
  const from = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: job.connections }, async () => {
      for (let at = next++; at < job.tasks.length; at = next++) {
        const { body, path, headers } = fill(job, job.tasks[at] ?? '');
        const answer = await request(job.url + path, { method: 'POST', headers, body, bodyTimeout: 0 });
        await new Promise<void>((resolve, reject) => {
          answer.body.once('data', () => resolve());
          answer.body.on('error', reject);
        });
      }
    }),
  );
  return {
    perSecond: (job.tasks.length * 1000) / (performance.now() - from),
    latencies: summary([]),
    ids: [],
  };
}

function summary(latencies: number[]): Seen['latencies'] {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99) };
}
