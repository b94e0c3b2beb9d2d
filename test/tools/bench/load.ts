/**
 * The load, in a separate process, so that it does not count towards the measured processes. It gets jobs as messages, one
 * at a time, and answers each with its result.
 */
import { request } from 'undici';
import { Connection } from './http/client.ts';
import type { Job, JobResult, RequestJob, StreamJob } from './jobs.ts';
import { fill, now, summarise } from './requests.ts';
import { serveParent } from './serve-parent.ts';
import { openReceiver, receiveWebhooks } from './webhook-load.ts';

serveParent(async (job: Job) => ({ result: await run(job) }));

function run(job: Job): Promise<JobResult> {
  switch (job.kind) {
    case 'requests':
      return sendRequests(job);
    case 'streams':
      return readStreams(job);
    case 'webhooks':
      return receiveWebhooks(job);
    case 'receiver':
      return openReceiver();
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
