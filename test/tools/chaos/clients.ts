/**
 * Clients of every kind. Each message is repeated under one message id until an api process has responded to it, and
 * accepted messages are recorded. Streams are checked for gaps in their event numbers.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { postJsonRpc, type JsonRpcAnswer } from '../../support/clients/json-rpc.ts';
import { isEventStream, readSse } from '../../support/clients/sse.ts';
import type { Plan } from './plans.ts';
import type { SeededRandom } from './random.ts';

export interface AcceptedTask {
  taskId: string;
  contextId: string;
  /** The plan of each accepted message, in order. The first one created the task. */
  plans: Plan[];
  /** Whether a client has requested a cancel, and whether it was confirmed: a response may be lost. */
  cancel: 'not_requested' | 'requested' | 'confirmed';
}

export interface Clients {
  readonly accepted: readonly AcceptedTask[];
  readonly streams: { opened: number; resumed: number; gaps: number };
  /** How many requests were repeated because no response came, or one with a server error. */
  readonly repeats: () => number;
  /** Responses that were neither a result nor a reason to retry. */
  readonly surprises: readonly string[];
  /** Submits no more tasks, and resolves when all requests have been responded to. */
  stop(): Promise<void>;
}

const notCancelable = -32002;
const unsupported = -32004;

export function startClients(options: {
  apiUrls: readonly string[];
  receiverUrl: string;
  random: SeededRandom;
  tasksPerSecond: number;
}): Clients {
  const { apiUrls, receiverUrl, random, tasksPerSecond } = options;
  const accepted: AcceptedTask[] = [];
  const surprises: string[] = [];
  const streams = { opened: 0, resumed: 0, gaps: 0 };
  const running = new Set<Promise<void>>();
  const stopping = new AbortController();
  let nextApi = 0;
  let tokens = 0;
  let repeats = 0;

  /** Calls the api processes in turn until one of them returns a definite answer. */
  async function call(method: string, params: object, timeoutMs = 4_000): Promise<JsonRpcAnswer> {
    for (;;) {
      try {
        const response = await post(method, params, AbortSignal.timeout(timeoutMs));
        const answer = (await response.json()) as JsonRpcAnswer;
        if (response.status < 500 && answer.error?.code !== -32603) return answer;
      } catch {
        // The process was killed or paused, or the connection was cut.
      }
      repeats += 1;
      await sleep(150);
    }
  }

  function post(method: string, params: object, signal: AbortSignal): Promise<Response> {
    const url = apiUrls[nextApi++ % apiUrls.length]!;
    return postJsonRpc(url, method, params, { signal });
  }

  function createMessage(plan: Plan, more: object = {}) {
    return {
      messageId: `m-${plan.token}`,
      role: 'ROLE_USER',
      parts: [{ text: JSON.stringify(plan) }],
      ...more,
    };
  }

  async function submit(plan: Plan, waiting = false): Promise<AcceptedTask | undefined> {
    const withWebhook = random.next() < 0.6;
    const params = {
      message: createMessage(plan),
      configuration: {
        returnImmediately: !waiting,
        ...(withWebhook && { taskPushNotificationConfig: { url: receiverUrl } }),
      },
    };
    const { result, error } = await call('SendMessage', params, waiting ? 10_000 : 4_000);
    if (error !== undefined) {
      surprises.push(`SendMessage: ${error.code} ${error.message}`);
      return undefined;
    }
    const { id: taskId, contextId } = result.task;
    const task: AcceptedTask = { taskId, contextId, plans: [plan], cancel: 'not_requested' };
    accepted.push(task);
    return task;
  }

  /** Sends a further message. A refusal because the task has ended is expected. */
  async function followUp(task: AcceptedTask, plan: Plan): Promise<void> {
    const params = {
      message: createMessage(plan, { taskId: task.taskId }),
      configuration: { returnImmediately: true },
    };
    const { error } = await call('SendMessage', params);
    if (error === undefined) task.plans.push(plan);
    else if (error.code !== unsupported) surprises.push(`SendMessage: ${error.code} ${error.message}`);
  }

  async function cancel(task: AcceptedTask): Promise<void> {
    task.cancel = 'requested';
    const { error } = await call('CancelTask', { id: task.taskId });
    if (error === undefined) task.cancel = 'confirmed';
    else if (error.code !== notCancelable) surprises.push(`CancelTask: ${error.code} ${error.message}`);
  }

  async function answerQuestion(task: AcceptedTask, plan: Plan): Promise<void> {
    for (;;) {
      const { result, error } = await call('GetTask', { id: task.taskId });
      if (error !== undefined) {
        surprises.push(`GetTask: ${error.code} ${error.message}`);
        return;
      }
      if (result.status.state === 'TASK_STATE_INPUT_REQUIRED') return followUp(task, plan);
      if (/COMPLETED|FAILED|CANCELED/.test(result.status.state)) return;
      await sleep(200);
    }
  }

  /** Subscribes to a task until its stream ends by itself, and again whenever the stream is cut. */
  async function watch(task: AcceptedTask): Promise<void> {
    for (let opened = 0; ; opened++) {
      try {
        const signal = AbortSignal.any([AbortSignal.timeout(8_000), stopping.signal]);
        const response = await post('SubscribeToTask', { id: task.taskId }, signal);
        if (opened === 0) streams.opened += 1;
        else streams.resumed += 1;
        if (!isEventStream(response)) return;
        if (await readToEnd(response)) return;
      } catch {
        // The stream was cut. The next one starts with the current state of the task.
      }
      if (stopping.signal.aborted) return;
      await sleep(200);
    }
  }

  /** Counts gaps. Returns true if the stream has reported the end of the task. */
  async function readToEnd(response: Response): Promise<boolean> {
    let last: number | undefined;
    for await (const { id, data } of readSse(response)) {
      if (id === undefined) continue;
      if (last !== undefined && id !== last + 1) streams.gaps += 1;
      last = id;
      const ended = /"state":"TASK_STATE_(COMPLETED|FAILED|CANCELED|INPUT_REQUIRED)"/;
      if (ended.test(JSON.stringify(data))) return true;
    }
    return false;
  }

  const token = (): string => `t${++tokens}x`;
  const steps = (min: number, max: number, ms: number): Plan => ({
    token: token(),
    kind: 'steps',
    steps: random.integer(min, max),
    ms,
  });

  async function runClient(): Promise<void> {
    const kind = random.pick([
      [5, 'quick'],
      [2, 'waiting'],
      [3, 'long'],
      [3, 'many'],
      [3, 'stream'],
      [2, 'canceled'],
      [3, 'follow-up'],
      [2, 'asking'],
      [2, 'flaky'],
      [1, 'broken'],
      [4, 'gemini'],
    ] as const);
    const pauseMs = random.between(100, 2_500);
    switch (kind) {
      case 'quick':
        await submit(steps(1, 2, 20));
        return;
      case 'waiting':
        await submit(steps(1, 2, 50), true);
        return;
      case 'long':
        await submit(steps(1, 2, random.integer(1_500, 4_000)));
        return;
      case 'many':
        await submit(steps(10, 25, 60));
        return;
      case 'stream': {
        const task = await submit({ token: token(), kind: 'stream', words: random.integer(30, 150) });
        if (task !== undefined) await watch(task);
        return;
      }
      case 'canceled': {
        const task = await submit(steps(5, 10, 300));
        await sleep(pauseMs);
        if (task !== undefined) await cancel(task);
        return;
      }
      case 'follow-up': {
        const task = await submit(steps(2, 4, 200));
        const next = [steps(1, 2, 50), steps(1, 2, 50)];
        await sleep(pauseMs / 4);
        for (const plan of next) if (task !== undefined) await followUp(task, plan);
        return;
      }
      case 'asking': {
        const task = await submit({ token: token(), kind: 'ask' });
        const next = steps(1, 2, 50);
        if (task !== undefined) await answerQuestion(task, next);
        return;
      }
      case 'flaky':
        await submit({ token: token(), kind: 'flaky', failures: random.integer(1, 2) });
        return;
      case 'broken':
        await submit({ token: token(), kind: 'broken' });
        return;
      case 'gemini':
        await submit({ token: token(), kind: 'gemini' });
        return;
      default:
        kind satisfies never;
    }
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const client = runClient().finally(() => running.delete(client));
      running.add(client);
      const pause = (1000 / tasksPerSecond) * random.between(0.5, 1.5);
      await sleep(pause, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }
  const submitting = run();

  return {
    accepted,
    streams,
    surprises,
    repeats: () => repeats,
    stop: async () => {
      stopping.abort();
      await submitting;
      await Promise.all(running);
    },
  };
}
