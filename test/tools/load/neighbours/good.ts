/**
 * The measured owner, as a separate process: starts operations at a steady rate, whether or not earlier ones have been
 * answered. Like a well-made client it repeats failed requests; the time counts from the planned start of the first one.
 *
 * Reads API_URL and RATE (per second, of each operation). Messages of the parent name the phase that starts. `pause` is
 * answered when all operations so far have ended, `stop` with the report.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createApiClient, type Answer } from './api-client.ts';
import { usageRequest } from './measured/loop-usage.ts';
import { getKey, goodOwner } from './owners.ts';
import { Samples, stages, type GoodReport, type Phase, type Stage } from './samples.ts';
import { startWebhookReceiver } from './webhook-receiver.ts';

const { API_URL: apiUrl = '', RATE: rate = '' } = process.env;
/** Found in the text of a stream once a stage of its task has been reached. */
const stageMarks: Record<Stage, RegExp> = {
  accepted: /"task":/,
  claimed: /TASK_STATE_WORKING/,
  completed: /TASK_STATE_COMPLETED/,
};
/** Bounds the wait for operations in flight when the hostile owner has stopped. */
const settleMs = 60_000;
const retryMs = 200;
// Its own address: connections and failed authentications are limited by address.
const client = createApiClient(apiUrl, getKey(goodOwner), 30_000, '127.0.0.9');
const samples = new Samples();
const receiver = await startWebhookReceiver();
let phase: Phase = 'warm-up';
let giveUpAt = Infinity;
const pending = new Set<Promise<void>>();
const operations = [sendTask, runTask, readTask];

const completed = await start();
const stopped = new AbortController();
process.on('message', (next: Phase | 'stop' | typeof usageRequest) => {
  if (next === usageRequest) return;
  if (next === 'stop') stopped.abort();
  else phase = next;
  if (next === 'pause') void finishAll(settleMs).then(() => process.send?.('idle'));
});
process.send?.('ready');
await warmUp();
await runPhases();
giveUpAt = performance.now() + settleMs;
await finishAll(settleMs);
const report: GoodReport = samples.report(receiver);
process.send?.(report, () => process.exit());

/** Resolves when all operations have ended, and their webhooks have arrived or a time has passed. */
async function finishAll(boundMs: number): Promise<void> {
  const until = performance.now() + boundMs;
  await Promise.all(pending);
  await receiver.settle(until);
}

/** Runs operations as fast as they are answered: V8 compiles code that runs often, as in a service that has been up for a while. */
async function warmUp(): Promise<void> {
  const isWarmUp = (): boolean => phase === 'warm-up';
  const loop = async (_: unknown, index: number): Promise<void> => {
    for (let n = index; isWarmUp(); n++) await operations[n % operations.length]!(phase, performance.now());
  };
  const loops = Promise.all(Array.from({ length: 128 }, loop)).then(() => undefined);
  pending.add(loops);
  await loops;
  pending.delete(loops);
}

/** Starts all three operations in turn, until the last phase ends. */
async function runPhases(): Promise<void> {
  const startedAt = performance.now();
  for (let n = 0; ; n++) {
    const plannedAt = startedAt + (1000 * n) / (Number(rate) * operations.length);
    const waitMs = plannedAt - performance.now();
    if (waitMs > 1) await sleep(waitMs);
    if (stopped.signal.aborted) break;
    if (phase === 'pause') continue;
    const run = operations[n % operations.length]!(phase, plannedAt).finally(() => pending.delete(run));
    pending.add(run);
  }
}

/** SendMessage that returns at once, with a webhook. */
async function sendTask(of: Phase, plannedAt: number): Promise<void> {
  const message = hello();
  const answer = await repeat(() =>
    client.call('SendMessage', {
      message,
      configuration: {
        returnImmediately: true,
        taskPushNotificationConfig: { id: 'hook', url: receiver.url },
      },
    }),
  );
  samples.add(of, 'send', performance.now() - plannedAt, answer !== undefined);
  if (answer === undefined) return;
  const taskId = getTaskId(answer);
  receiver.expect(taskId, of);
  samples.addTask(of, await waitForEnd(taskId));
}

/** A whole task over a stream. If the stream breaks, the task is polled. */
async function runTask(of: Phase, plannedAt: number): Promise<void> {
  const message = hello();
  let taskId: string | undefined;
  let state: string | undefined;
  const streamed = await repeat(async () => {
    const { statusCode, body } = await client.open('SendStreamingMessage', { message });
    let text = '';
    let stageAt = plannedAt;
    let reached = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      text += chunk.toString();
      for (const stage of stages.slice(reached)) {
        if (!stageMarks[stage].test(text)) break;
        reached += 1;
        samples.addStage(of, stage, performance.now() - stageAt);
        stageAt = performance.now();
      }
    }
    taskId ??= /"task":\{"id":"([^"]+)"/.exec(text)?.[1];
    state = findEnd(text);
    return { status: statusCode, text, bytes: text.length };
  });
  if (state === undefined && taskId !== undefined) state = await waitForEnd(taskId);
  const isCompleted = streamed !== undefined && state === 'TASK_STATE_COMPLETED';
  samples.add(of, 'task', performance.now() - plannedAt, isCompleted);
  samples.addTask(of, state);
}

async function readTask(of: Phase, plannedAt: number): Promise<void> {
  const answer = await repeat(() => client.call('GetTask', { id: completed }));
  samples.add(of, 'get', performance.now() - plannedAt, answer !== undefined);
}

/** Polls a task, ever less often. Returns its final state; undefined if it does not end in time. */
async function waitForEnd(taskId: string): Promise<string | undefined> {
  for (let waitMs = 1000; performance.now() < giveUpAt; waitMs = Math.min(2 * waitMs, 5000)) {
    await sleep(waitMs);
    const answer = await repeat(() => client.call('GetTask', { id: taskId, historyLength: 0 }));
    const state = findEnd(answer?.text ?? '');
    if (state !== undefined) return state;
  }
  return undefined;
}

/** Sends a request until it is answered without an error. Undefined if that does not happen in time. */
async function repeat(send: () => Promise<Answer>): Promise<Answer | undefined> {
  while (performance.now() < giveUpAt) {
    try {
      const answer = await send();
      const error = answer.text.indexOf('"error":{');
      if (answer.status < 400 && error === -1) return answer;
      samples.addError(
        `status ${answer.status} ${/"message":"[^"]{0,100}/.exec(answer.text.slice(error))?.[0] ?? ''}`,
      );
    } catch (error) {
      samples.addError((error as { code?: string }).code ?? String(error));
    }
    await sleep(retryMs);
  }
  return undefined;
}

/** Runs one task for GetTask to read. */
async function start(): Promise<string> {
  const message = hello();
  const answer = await repeat(() => client.call('SendMessage', { message }));
  return getTaskId(answer!);
}

function hello() {
  return { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'say hello' }] };
}

function getTaskId({ text }: Answer): string {
  const id = /"task":\{"id":"([^"]+)"/.exec(text)?.[1];
  if (id === undefined) throw new Error(`no task in ${text.slice(0, 500)}`);
  return id;
}

function findEnd(text: string): string | undefined {
  return /TASK_STATE_(?:COMPLETED|FAILED|REJECTED|CANCELED)/.exec(text)?.[0];
}
