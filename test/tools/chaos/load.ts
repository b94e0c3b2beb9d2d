/**
 * Clients of every kind. Each message is sent until some front door has answered for it, under one message id; what was
 * answered is kept as accepted. Streams are watched for gaps in the numbers of their events.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Chance } from './random.ts';
import type { Plan } from './plans.ts';

export interface Accepted {
  taskId: string;
  contextId: string;
  /** The plan of each accepted message, in order: the first began the task. */
  plans: Plan[];
  /** Whether a client asked for its end, and whether it was told that it is so: an answer may be lost. */
  cancel: 'not asked' | 'asked' | 'done';
  hook: boolean;
}

export interface Load {
  readonly accepted: readonly Accepted[];
  readonly messageIds: readonly string[];
  readonly streams: { opened: number; resumed: number; gaps: number };
  /** Sends that were repeated because no answer came, or one that asked to come again. */
  readonly repeats: () => number;
  /** Answers that were neither a result nor a reason to try again. */
  readonly surprises: readonly string[];
  /** Begins no more tasks, and resolves when all that was begun has been answered for. */
  stop(): Promise<void>;
}

interface Answer {
  // oxlint-disable-next-line typescript/no-explicit-any -- answers are looked at field by field, as a client would
  result?: any;
  error?: { code: number; message: string };
}

const notCancelable = -32002;
const unsupported = -32004;

export function startLoad(options: {
  apiUrls: readonly string[];
  receiverUrl: string;
  chance: Chance;
  tasksPerSecond: number;
}): Load {
  const { apiUrls, chance } = options;
  const accepted: Accepted[] = [];
  const messageIds: string[] = [];
  const surprises: string[] = [];
  const streams = { opened: 0, resumed: 0, gaps: 0 };
  const clients = new Set<Promise<void>>();
  const stopping = new AbortController();
  let door = 0;
  let count = 0;
  let repeats = 0;

  /** Round robin; a door that does not answer well is left for the next. */
  async function call(method: string, params: object, timeoutMs = 4_000): Promise<Answer> {
    for (;;) {
      try {
        const response = await open(method, params, AbortSignal.timeout(timeoutMs));
        const answer = (await response.json()) as Answer;
        if (response.status < 500 && answer.error?.code !== -32603) return answer;
      } catch {
        // Killed, paused, or cut off.
      }
      repeats += 1;
      await sleep(150);
    }
  }

  function open(method: string, params: object, signal: AbortSignal): Promise<Response> {
    const url = apiUrls[door++ % apiUrls.length]!;
    return fetch(`${url}/a2a/jsonrpc`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'a2a-version': '1.0' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
      signal,
    });
  }

  function errorMessage(plan: Plan, more: object = {}) {
    const messageId = `m-${plan.token}`;
    messageIds.push(messageId);
    return { messageId, role: 'ROLE_USER', parts: [{ text: JSON.stringify(plan) }], ...more };
  }

  async function begin(plan: Plan, waiting = false): Promise<Accepted | undefined> {
    const hook = chance.next() < 0.6;
    const params = {
      message: errorMessage(plan),
      configuration: {
        returnImmediately: !waiting,
        ...(hook && { taskPushNotificationConfig: { url: options.receiverUrl } }),
      },
    };
    const { result, error } = await call('SendMessage', params, waiting ? 10_000 : 4_000);
    if (error !== undefined) {
      surprises.push(`SendMessage: ${error.code} ${error.message}`);
      return undefined;
    }
    const { id: taskId, contextId } = result.task;
    const one: Accepted = { taskId, contextId, plans: [plan], cancel: 'not asked', hook };
    accepted.push(one);
    return one;
  }

  /** A further message; a task that was at its end before is no surprise. */
  async function goOn(task: Accepted, plan: Plan): Promise<void> {
    const params = {
      message: errorMessage(plan, { taskId: task.taskId }),
      configuration: { returnImmediately: true },
    };
    const { error } = await call('SendMessage', params);
    if (error === undefined) task.plans.push(plan);
    else if (error.code !== unsupported) surprises.push(`SendMessage: ${error.code} ${error.message}`);
  }

  async function cancel(task: Accepted): Promise<void> {
    task.cancel = 'asked';
    const { error } = await call('CancelTask', { id: task.taskId });
    if (error === undefined) task.cancel = 'done';
    else if (error.code !== notCancelable) surprises.push(`CancelTask: ${error.code} ${error.message}`);
  }

  async function answerQuestion(task: Accepted, plan: Plan): Promise<void> {
    for (;;) {
      const { result, error } = await call('GetTask', { id: task.taskId });
      if (error !== undefined) {
        surprises.push(`GetTask: ${error.code} ${error.message}`);
        return;
      }
      if (result.status.state === 'TASK_STATE_INPUT_REQUIRED') return goOn(task, plan);
      if (/COMPLETED|FAILED|CANCELED/.test(result.status.state)) return;
      await sleep(200);
    }
  }

  /** Follows a task until its stream ends by itself, coming back when it is cut. */
  async function watch(task: Accepted): Promise<void> {
    for (let opened = 0; ; opened++) {
      try {
        const signal = AbortSignal.any([AbortSignal.timeout(8_000), stopping.signal]);
        const response = await open('SubscribeToTask', { id: task.taskId }, signal);
        if (opened === 0) streams.opened += 1;
        else streams.resumed += 1;
        if (!(response.headers.get('content-type') ?? '').includes('event-stream')) return;
        if (await readStream(response)) return;
      } catch {
        // Cut; the task is followed from where it stands.
      }
      if (stopping.signal.aborted) return;
      await sleep(200);
    }
  }

  /** @returns whether the stream told the end of the task */
  async function readStream(response: Response): Promise<boolean> {
    let text = '';
    let last: number | undefined;
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const id = /^id: (\d+)$/m.exec(block)?.[1];
        if (id === undefined) continue;
        if (last !== undefined && Number(id) !== last + 1) streams.gaps += 1;
        last = Number(id);
        if (/"state":"TASK_STATE_(COMPLETED|FAILED|CANCELED|INPUT_REQUIRED)"/.test(block)) return true;
      }
    }
    return false;
  }

  const token = (): string => `t${++count}x`;
  const steps = (min: number, max: number, ms: number): Plan => ({
    token: token(),
    kind: 'steps',
    steps: chance.whole(min, max),
    ms,
  });

  async function client(): Promise<void> {
    const kind = chance.pick([
      [5, 'quick'],
      [2, 'waiting'],
      [3, 'long'],
      [3, 'many'],
      [3, 'stream'],
      [2, 'cancelled'],
      [3, 'followed'],
      [2, 'asking'],
      [2, 'flaky'],
      [1, 'broken'],
      [4, 'gemini'],
    ] as const);
    const pauseMs = chance.between(100, 2_500);
    switch (kind) {
      case 'quick':
        await begin(steps(1, 2, 20));
        return;
      case 'waiting':
        await begin(steps(1, 2, 50), true);
        return;
      case 'long':
        await begin(steps(1, 2, chance.whole(1_500, 4_000)));
        return;
      case 'many':
        await begin(steps(10, 25, 60));
        return;
      case 'stream': {
        const task = await begin({ token: token(), kind: 'stream', words: chance.whole(30, 150) });
        if (task !== undefined) await watch(task);
        return;
      }
      case 'cancelled': {
        const task = await begin(steps(5, 10, 300));
        await sleep(pauseMs);
        if (task !== undefined) await cancel(task);
        return;
      }
      case 'followed': {
        const task = await begin(steps(2, 4, 200));
        const next = [steps(1, 2, 50), steps(1, 2, 50)];
        await sleep(pauseMs / 4);
        for (const plan of next) if (task !== undefined) await goOn(task, plan);
        return;
      }
      case 'asking': {
        const task = await begin({ token: token(), kind: 'ask' });
        const next = steps(1, 2, 50);
        if (task !== undefined) await answerQuestion(task, next);
        return;
      }
      case 'flaky':
        await begin({ token: token(), kind: 'flaky', failures: chance.whole(1, 2) });
        return;
      case 'broken':
        await begin({ token: token(), kind: 'broken' });
        return;
      case 'gemini':
        await begin({ token: token(), kind: 'gemini' });
        return;
      default:
        kind satisfies never;
    }
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const one = client().finally(() => clients.delete(one));
      clients.add(one);
      const pause = (1000 / options.tasksPerSecond) * chance.between(0.5, 1.5);
      await sleep(pause, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }
  const running = run();

  return {
    accepted,
    messageIds,
    streams,
    surprises,
    repeats: () => repeats,
    stop: async () => {
      stopping.abort();
      await running;
      await Promise.all(clients);
    },
  };
}
