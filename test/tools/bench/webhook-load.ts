/** Sends tasks with webhooks, and receives them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from './http/client.ts';
import { listen } from './http/server.ts';
import type { JobResult, WebhookJob } from './jobs.ts';
import { fill, now, summarise } from './requests.ts';

/** Each receiver has an address of its own, because the dispatcher shares its attempts by host. */
export const getAddress = (receiver: number): string => `127.0.1.${receiver + 1}`;

interface Receivers {
  readonly port: number;
  /** From the timestamp of each event to its arrival, in milliseconds. */
  readonly latencies: number[];
  untilArrived(count: number): Promise<void>;
  /** Closes when all is answered: a webhook whose answer is missing is repeated, and disturbs the next run. */
  close(): Promise<void>;
}

/** Receivers that answer, and others that never do. */
async function openReceivers({ receivers = 1, hanging = 0, answerMs = 0 }: WebhookJob): Promise<Receivers> {
  const good = receivers - hanging;
  const latencies: number[] = [];
  let arrived: () => void = () => undefined;
  let answered = 0;
  const { port, close } = await listen(({ body, address, answer }) => {
    const at = now();
    if (Number(address?.split('.').at(-1)) > good) return;
    const send = (): void => {
      answer();
      answered += 1;
    };
    if (answerMs > 0) setTimeout(send, answerMs);
    else send();
    const written = /"timestamp":"([^"]+)"/.exec(body)?.[1] ?? '';
    latencies.push(at - Date.parse(written));
    arrived();
  });
  return {
    port,
    latencies,
    untilArrived: async (count) => {
      while (latencies.length < count) await new Promise<void>((done) => (arrived = done));
    },
    close: async () => {
      while (answered < latencies.length) await sleep(answerMs);
      // The last answers are on their way.
      await sleep(answerMs);
      close();
    },
  };
}

/** Measures from the timestamp of an event to its arrival. */
export async function receiveWebhooks(job: WebhookJob): Promise<JobResult> {
  const { receivers = 1, hanging = 0 } = job;
  const opened = await openReceivers(job);
  const body = job.body?.replace('%PORT%', String(opened.port));
  const free: Connection[] = [];
  const from = performance.now();
  let sent = 0;
  let awaited = 0;
  const send = async (): Promise<void> => {
    const receiver = sent++ % receivers;
    if (receiver < receivers - hanging) awaited += job.each;
    const filled = fill({ ...job, body: body?.replace('%HOST%', getAddress(receiver)) }, '');
    const connection = free.pop() ?? (await Connection.open(job.url));
    const { text } = await connection.send({ method: 'POST', ...filled });
    free.push(connection);
    if (text.includes('"error"')) throw new Error(text);
  };
  if (job.rate === undefined) {
    const isIdle = job.connections === 1;
    await Promise.all(
      Array.from({ length: job.connections }, async () => {
        while (sent < job.count) {
          await send();
          // One connection measures an idle system: the next task waits for the webhooks of this one.
          if (isIdle) await opened.untilArrived(awaited);
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
  for (const connection of free) connection.close();
  await opened.untilArrived(awaited);
  const { latencies } = opened;
  const perSecond = (latencies.length * 1000) / (performance.now() - from);
  await opened.close();
  return { perSecond, latencies: summarise(latencies), ids: [] };
}

/** Answers everything at once with 204, until the process ends. */
export async function openReceiver(): Promise<JobResult> {
  const { port } = await listen(({ answer }) => answer());
  return { perSecond: 0, latencies: summarise([]), ids: [String(port)] };
}
