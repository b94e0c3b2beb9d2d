/**
 * Random operations of several concurrent callers on two api processes, checked against a small model: callers see only
 * their own tasks, states follow the allowed transitions, and no stream has a gap. The seed is fixed; MODEL_SEED sets
 * another.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { aliceKey, apiKeysEnv, bobKey } from '../support/services/api-keys.ts';
import { postJsonRpc, type JsonRpcAnswer } from '../support/clients/json-rpc.ts';
import { freePort } from '../support/network/ports.ts';
import { startScriptedStack } from '../support/services/scripted-stack.ts';
import { isEventStream, readSse } from '../support/clients/sse.ts';
import { waitFor } from '../support/wait-for.ts';
import type { AnyJson } from '../support/clients/any-json.ts';

const seed = Number(process.env['MODEL_SEED'] ?? 20_261_122);
const replay = 'https://longhaul.dev/ext/replay/v1';
const [notFound, notCancelable, unsupported, invalid] = [-32001, -32002, -32004, -32602];

/** Scripts for the agent, each with the state in which its turn ends. */
const scripts = {
  'say x': 'TASK_STATE_COMPLETED',
  'stream a b c': 'TASK_STATE_COMPLETED',
  'wait 150\nsay late': 'TASK_STATE_COMPLETED',
  'progress x\nask y': 'TASK_STATE_INPUT_REQUIRED',
  'auth z': 'TASK_STATE_AUTH_REQUIRED',
  'reject no': 'TASK_STATE_REJECTED',
  'fail x': 'TASK_STATE_FAILED',
} as const;
type Script = keyof typeof scripts;

const operations = fc.record({
  kind: fc.oneof(
    { weight: 4, arbitrary: fc.constant('send' as const) },
    { weight: 10, arbitrary: fc.constantFrom('follow-up', 'get', 'cancel', 'subscribe', 'list') },
  ),
  script: fc.constantFrom(...(Object.keys(scripts) as Script[])),
  /** Picks one of the existing tasks. */
  pick: fc.nat(),
  /** Picks one of the two api processes. */
  api: fc.nat(1),
  /** A follow-up message names the context of another task. */
  wrongContext: fc.integer({ min: 0, max: 4 }).map((roll) => roll === 0),
});
type Operation = typeof operations extends fc.Arbitrary<infer T> ? T : never;

const callers = { alice: aliceKey, bob: bobKey };
type Caller = keyof typeof callers;

/** The model's knowledge of a task, from the responses to its owner. */
interface Known {
  id: string;
  contextId: string;
  owner: Caller;
  script: Script;
  /** Ids of the accepted messages. */
  messages: string[];
  /** The terminal state; undefined until the owner has seen it. */
  end: string | undefined;
  canceled: boolean;
}

interface StreamEvent {
  id: number;
  result: AnyJson;
}

const terminal = /COMPLETED|FAILED|CANCELED|REJECTED/;

// [CORE-MULTI-003] [CORE-MULTI-001a]
test('answers random operations of several callers as the model does', { timeout: 150_000 }, async (t) => {
  t.diagnostic(`MODEL_SEED=${seed}`);
  const { stack } = await startScriptedStack(t, apiKeysEnv());
  const [, other] = await Promise.all([
    stack.start('api'),
    stack.start('api', { PORT: String(await freePort()) }),
    stack.start('worker'),
  ]);
  const apiUrls = [stack.apiUrl, other.url];
  const tasks: Known[] = [];
  const streams: { task: Known; events: Promise<StreamEvent[] | JsonRpcAnswer> }[] = [];

  const post = (
    caller: Caller,
    api: number,
    method: string,
    params: object,
    headers: Record<string, string> = {},
  ) => postJsonRpc(apiUrls[api]!, method, params, { headers: { ...callers[caller], ...headers } });
  const call = async (...args: Parameters<typeof post>) =>
    (await (await post(...args)).json()) as JsonRpcAnswer;

  async function subscribe(caller: Caller, api: number, id: string, headers: Record<string, string>) {
    const response = await post(
      caller,
      api,
      'SubscribeToTask',
      { id },
      { 'a2a-extensions': replay, ...headers },
    );
    if (!isEventStream(response)) return (await response.json()) as JsonRpcAnswer;
    const events: StreamEvent[] = [];
    for await (const { id, data } of readSse(response)) {
      if (id !== undefined) events.push({ id, result: data.result });
    }
    return events;
  }

  /** Checks a state that the owner received. `endBefore` is the terminal state known when the request was sent. */
  function observe(task: Known, endBefore: string | undefined, state: string): void {
    if (endBefore !== undefined) assert.equal(state, endBefore, 'nothing follows the end of a task');
    if (terminal.test(state)) task.end ??= state;
    if (task.end !== undefined && terminal.test(state)) assert.equal(state, task.end, 'a task has one end');
  }

  async function send(caller: Caller, { api, script }: Operation): Promise<void> {
    const messageId = randomUUID();
    const { result, error } = await call(caller, api, 'SendMessage', {
      message: { messageId, role: 'ROLE_USER', parts: [{ text: script }] },
      configuration: { returnImmediately: true },
    });
    assert.equal(error, undefined);
    const { id, contextId } = result.task;
    const messages = [messageId];
    tasks.push({ id, contextId, owner: caller, script, messages, end: undefined, canceled: false });
  }

  async function followUp(caller: Caller, task: Known, operation: Operation): Promise<void> {
    const messageId = randomUUID();
    const endBefore = task.end;
    const { error } = await call(caller, operation.api, 'SendMessage', {
      message: {
        messageId,
        role: 'ROLE_USER',
        parts: [{ text: operation.script }],
        taskId: task.id,
        ...(operation.wrongContext && { contextId: randomUUID() }),
      },
      configuration: { returnImmediately: true },
    });
    if (caller !== task.owner) return assert.equal(error?.code, notFound);
    if (operation.wrongContext) return assert.equal(error?.code, invalid);
    if (endBefore !== undefined) return assert.equal(error?.code, unsupported);
    if (error === undefined) task.messages.push(messageId);
    else assert.equal(error.code, unsupported);
  }

  async function get(caller: Caller, task: Known, { api }: Operation): Promise<void> {
    const endBefore = task.end;
    const { result, error } = await call(caller, api, 'GetTask', { id: task.id });
    if (caller !== task.owner) return assert.equal(error?.code, notFound);
    assert.equal(result.id, task.id);
    observe(task, endBefore, result.status.state);
  }

  async function cancel(caller: Caller, task: Known, { api }: Pick<Operation, 'api'>): Promise<void> {
    const endBefore = task.end;
    const { result, error } = await call(caller, api, 'CancelTask', { id: task.id });
    if (caller !== task.owner) return assert.equal(error?.code, notFound);
    if (endBefore !== undefined || error !== undefined) return assert.equal(error?.code, notCancelable);
    task.canceled = true;
    observe(task, endBefore, result.status.state);
    assert.equal(task.end, 'TASK_STATE_CANCELED');
  }

  async function list(caller: Caller, { api }: Operation): Promise<void> {
    const expected = tasks.filter(({ owner }) => owner === caller).map(({ id }) => id);
    const { result } = await call(caller, api, 'ListTasks', { pageSize: 100 });
    const found = new Set<string>(result.tasks.map((task: { id: string }) => task.id));
    assert.deepEqual(
      expected.filter((id) => !found.has(id)),
      [],
      'every task of the caller is listed',
    );
    const foreign = tasks.filter(({ id, owner }) => owner !== caller && found.has(id));
    assert.deepEqual(foreign, [], 'no other task is listed');
  }

  async function run(caller: Caller, operation: Operation): Promise<void> {
    const task = tasks[operation.pick % Math.max(1, tasks.length)];
    if (operation.kind === 'send' || task === undefined) return send(caller, operation);
    if (operation.kind === 'list') return list(caller, operation);
    if (operation.kind === 'get') return get(caller, task, operation);
    if (operation.kind === 'cancel') return cancel(caller, task, operation);
    if (operation.kind === 'follow-up') return followUp(caller, task, operation);
    const events = subscribe(caller, operation.api, task.id, {});
    if (caller === task.owner) return void streams.push({ task, events });
    const answer = await events;
    assert.ok(!Array.isArray(answer) && answer.error?.code === notFound);
  }

  // Each response is as the model expects.
  const sessions = (['alice', 'bob', 'alice', 'bob'] as const).map(async (caller, index) => {
    for (const operation of fc.sample(operations, { seed: seed + index, numRuns: 60 }))
      await run(caller, operation);
  });
  await Promise.all(sessions);
  assert.ok(tasks.length > 40 && streams.length > 3, `${tasks.length} tasks, ${streams.length} streams`);

  // A task with one message ends in the state of its script.
  for (const { id, owner, script } of tasks.filter(
    ({ messages, canceled }) => messages.length === 1 && !canceled,
  )) {
    await waitFor(`task ${id} to be ${scripts[script]}`, async () => {
      const { state } = (await call(owner, 0, 'GetTask', { id })).result.status;
      assert.ok(!terminal.test(state) || state === scripts[script], `${state} after ${script}`);
      return state === scripts[script];
    });
  }

  // Each task has a complete history of allowed states.
  await Promise.all(tasks.map((task) => cancel(task.owner, task, { api: 1 })));
  const histories = new Map<Known, StreamEvent[]>();
  for (const task of tasks) {
    const { result } = await call(task.owner, 0, 'GetTask', { id: task.id });
    assert.match(result.status.state, terminal);
    assertWellFormed(result);
    observe(task, task.end, result.status.state);
    const messageIds: string[] = result.history.map(({ messageId }: { messageId: string }) => messageId);
    assert.deepEqual(
      messageIds.filter((id) => task.messages.includes(id)).toSorted(),
      task.messages.toSorted(),
      'each accepted message is in the history once',
    );
    const events = await subscribe(task.owner, 0, task.id, { 'last-event-id': '1' });
    assert.ok(Array.isArray(events));
    histories.set(task, events);
    assert.deepEqual(
      events.map(({ id }) => id),
      events.map((_, index) => index + 1),
    );
    const states = events.flatMap(({ result: { task: first, statusUpdate } }): string[] => {
      const status = (first ?? statusUpdate)?.status;
      return status === undefined ? [] : [status.state];
    });
    assert.equal(states.at(-1), result.status.state);
    assert.equal(states[0], 'TASK_STATE_SUBMITTED');
    for (const [index, state] of states.slice(1).entries()) assertAllowed(states[index] ?? '', state);
  }

  // Each stream has the same events.
  for (const { task, events } of streams) {
    const received = await events;
    if (!Array.isArray(received)) {
      assert.equal(received.error?.code, unsupported, 'no subscription to a task at its end');
      continue;
    }
    const [first, ...rest] = received;
    assert.equal(first?.result.task.id, task.id);
    const from = first?.id ?? 0;
    const expected = histories.get(task)?.slice(from, from + rest.length) ?? [];
    assert.deepEqual(rest, expected, 'no gap, and nothing else');
  }
});

/** An interrupted task continues or ends, and nothing follows an end. */
function assertAllowed(from: string, to: string): void {
  const allowed = terminal.test(from)
    ? /^$/
    : /REQUIRED/.test(from)
      ? /WORKING|CANCELED|FAILED/
      : /WORKING|REQUIRED|COMPLETED|FAILED|CANCELED|REJECTED/;
  assert.match(to, allowed, `${from} → ${to}`);
}

// [DM-TASK-001] [DM-TASK-002] [DM-MSG-001] [DM-MSG-002] [DM-PART-001] [DM-ART-001] [DM-STATUS-001]
// [DM-SERIAL-001] [DM-SERIAL-002] [DM-SERIAL-003]
function assertWellFormed(task: {
  id: string;
  status: { state: string; timestamp: string };
  artifacts?: { artifactId: string; parts: object[] }[];
  history: { messageId: string; role: string; parts: object[] }[];
}): void {
  assert.ok(task.id !== '');
  assert.match(task.status.state, /^TASK_STATE_[A-Z_]+$/);
  assert.match(task.status.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
  assert.doesNotMatch(JSON.stringify(task), /"[a-z]+_[a-z_]+":/, 'names are in camelCase');
  for (const { messageId, role } of task.history) {
    assert.ok(messageId !== '');
    assert.match(role, /^ROLE_(USER|AGENT)$/);
  }
  for (const { artifactId } of task.artifacts ?? []) assert.ok(artifactId !== '');
  for (const { parts } of [...task.history, ...(task.artifacts ?? [])]) {
    assert.ok(parts.length > 0);
    for (const part of parts) {
      const contents = Object.keys(part).filter((key) => ['text', 'raw', 'url', 'data'].includes(key));
      assert.equal(contents.length, 1, 'a part has one content');
    }
  }
}
