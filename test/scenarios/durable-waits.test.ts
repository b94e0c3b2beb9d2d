/** Turns that wait for a time or a call: no worker is held, no step runs twice, and the wait ends once. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { createRemoteAgents } from '#services/worker/agent/remote/agents.ts';
import { childrenExtension } from '#shared/domain/children.ts';
import { usageExtension, type Usage } from '#shared/domain/usage.ts';
import { waitsExtension } from '#shared/domain/wait.ts';
import { writeAgentFile } from '../support/agents/definition.ts';
import { createSuiteCleanup } from '../support/cleanup.ts';
import { getStepRuns, startScriptedStack } from '../support/services/scripted-stack.ts';
import { release, startSdkAgent, startV03SdkAgent } from '../support/agents/sdk-agents.ts';
import { isCompleted, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';
import {
  getData,
  isWaiting,
  postAnswer,
  readChildren,
  submitCall,
} from '../support/database/waiting-tasks.ts';
import type { Receiver } from '../support/webhooks/receiver.ts';

const cleanup = createSuiteCleanup();
let stack: Stack;
let tool: Receiver;
/** The address of an agent that sends notifications. */
let notifying: string;
before(async () => {
  // Long leases, so that a busy machine repeats no step: their runs are counted.
  ({ stack, tool } = await startScriptedStack(cleanup, { LEASE_SECONDS: '60' }));
  const [polled, notified, legacy] = await Promise.all([
    startSdkAgent(cleanup, 'JSONRPC'),
    startSdkAgent(cleanup, 'HTTP+JSON', { pushNotifications: true }),
    startV03SdkAgent(cleanup, { pushNotifications: true }),
  ]);
  notifying = notified;
  const agents = { polled, notifying, legacy };
  stack.env['AGENT_FILE'] = writeAgentFile(cleanup, {
    agents: Object.fromEntries(Object.entries(agents).map(([name, url]) => [name, { url }])),
  });
  await Promise.all([stack.start('worker'), stack.start('api')]);
});

async function readGate(taskId: string) {
  const { rows } = await stack.pool.query('select * from gates where task_id = $1', [taskId]);
  return rows[0];
}

describe('a turn that sleeps', () => {
  test('holds no lease, says what it waits for, and runs each step once', async () => {
    const startedAt = Date.now();
    const { id } = await stack.submit('step before\nsleep pause 2\nstep after');
    const { status } = await stack.until(id, isWaiting);
    const [wait] = status.message.metadata[waitsExtension];
    assert.deepEqual([wait.name, wait.kind], ['pause', 'sleep']);
    assert.match(status.message.parts[0].text, /^Waiting until 20/);
    const gate = await readGate(id);
    assert.deepEqual([gate.lease_until, gate.attempts], [null, 0]);
    await stack.until(id, isCompleted);
    assert.ok(Date.now() - startedAt >= 2000);
    assert.deepEqual(getStepRuns(tool, id), ['1/before/0', '1/after/0']);
  });

  test('sleeps a short time in its worker', async () => {
    const { id } = await stack.submit('sleep pause 0.1\nsay done');
    await stack.until(id, isCompleted);
    assert.equal((await readGate(id)).fence, 2);
  });

  test('ends when it is canceled', async () => {
    const { id } = await stack.submit('sleep pause 3600');
    await stack.until(id, isWaiting);
    const { result } = await stack.rpc('CancelTask', { id });
    assert.equal(result.status.state, 'TASK_STATE_CANCELED');
  });

  test('fails for a wait that is not valid', async () => {
    const { id } = await stack.submit('sleep pause 99999999');
    const { status } = await stack.until(id, ({ status: { state } }) => state === 'TASK_STATE_FAILED');
    assert.match(
      status.message.parts[0].text,
      /^sleep\("pause"\): the wait must be a time within the next 366 days/,
    );
  });
});

describe('a callback', () => {
  test('ends with what was posted, once', async () => {
    const { task, url } = await submitCall(stack, 'call answer 60');
    assert.ok(url.startsWith(`${stack.apiUrl}/callbacks/`));
    assert.equal((await readGate(task.id)).lease_until, null);
    assert.equal((await postAnswer(url, { approved: true, nul: '\0' })).status, 200);
    const done = await stack.until(task.id, isCompleted);
    assert.deepEqual(getData(done, 'answer'), {
      status: 'answered',
      body: { approved: true, nul: '\0' },
    });
    assert.deepEqual(getStepRuns(tool, task.id), []);
    assert.equal(
      (await postAnswer(url, { approved: true, nul: '\0' })).status,
      200,
      'the same answer, repeated',
    );
    const other = await postAnswer(url, { approved: false });
    assert.deepEqual(
      [other.status, await other.json()],
      [409, { error: 'The callback was answered before: it accepts one answer' }],
    );
  });

  test('refuses what is not JSON, does not match its schema, or has no token', async () => {
    const { task, url } = await submitCall(stack, 'call number 60');
    const statuses = await Promise.all([
      postAnswer(url, 'text').then(({ status }) => status),
      fetch(url, { method: 'POST', body: 'no json' }).then(({ status }) => status),
      fetch(url, { method: 'POST', body: '{', headers: { 'content-type': 'application/json' } }).then(
        ({ status }) => status,
      ),
      fetch(url, { method: 'POST' }).then(({ status }) => status),
      postAnswer(`${url}x`, 1).then(({ status }) => status),
      postAnswer(url, 'x'.repeat(300_000)).then(({ status }) => status),
    ]);
    assert.deepEqual(statuses, [400, 415, 400, 400, 404, 413]);
    assert.equal((await postAnswer(url, 42)).status, 200);
    assert.deepEqual(getData(await stack.until(task.id, isCompleted), 'number'), {
      status: 'answered',
      body: 42,
    });
  });

  test('times out, and refuses answers then', async () => {
    const { task, url } = await submitCall(stack, 'call answer 2');
    assert.deepEqual(getData(await stack.until(task.id, isCompleted), 'answer'), { status: 'timed_out' });
    assert.equal((await postAnswer(url, 1)).status, 410);
  });

  test('takes an answer while its turn runs another step', async () => {
    const { id } = await stack.submit('call answer 600 busy 700');
    await waitFor('the step', () => getStepRuns(tool, id).length === 1);
    const [url] = (await stack.until(id, ({ artifacts }) => artifacts?.length === 1)).artifacts!;
    assert.equal((await postAnswer(url!.parts[0]!.text!, 'early')).status, 200);
    assert.deepEqual(getData(await stack.until(id, isCompleted), 'answer'), {
      status: 'answered',
      body: 'early',
    });
    assert.deepEqual(getStepRuns(tool, id), ['1/busy/0']);
  });

  test('is refused once its task is canceled', async () => {
    const { task, url } = await submitCall(stack, 'call answer 60');
    await stack.rpc('CancelTask', { id: task.id });
    assert.equal((await postAnswer(url, 1)).status, 410);
  });
});

describe('a turn that waits for children', () => {
  test('gets the results of all, each started once', async () => {
    const { id } = await stack.submit(
      'spawn kids 10 step work 20;use 2;say done\njoin all all 60\nstep after',
    );
    const done = await stack.until(id, isCompleted);
    const { states, ...rest } = getData(done, 'all') as { states: string[] };
    assert.deepEqual(rest, { status: 'joined', texts: ['done'] });
    assert.deepEqual([states.length, new Set(states)], [10, new Set(['COMPLETED'])]);
    const children = await readChildren(stack, id);
    for (const child of children) assert.deepEqual(getStepRuns(tool, child.id), ['1/work/0']);
    assert.deepEqual(getStepRuns(tool, id), ['1/after/0']);
    assert.deepEqual(children[0]!.metadata, { [childrenExtension]: { parent: id } });
    assert.equal((done.metadata![childrenExtension] as { children: number }).children, 10);
    const { calls, cost } = done.metadata![usageExtension] as Usage;
    assert.deepEqual([calls, cost], [10, 20]);
  });

  test('continues after the first, and cancels the others when it ends', async () => {
    const { id } = await stack.submit('spawn kids 1 sleep a 3600\nspawn others 2 wait 500\njoin one any 60');
    await stack.until(id, isCompleted);
    await waitFor('the end of all', async () =>
      (await readChildren(stack, id)).every(({ state }) => /COMPLETED|CANCELED/.test(state)),
    );
  });

  test('cancels children and grandchildren when it is canceled', async () => {
    const { id } = await stack.submit(
      'spawn kids 2 spawn kids 1 sleep a 3600;join a all 3600\njoin all all 3600',
    );
    const child = await waitFor('children', async () => (await readChildren(stack, id))[0]);
    const grandchild = await waitFor('a grandchild', async () => (await readChildren(stack, child.id))[0]);
    await stack.rpc('CancelTask', { id });
    await stack.until(grandchild.id, ({ status: { state } }) => state === 'TASK_STATE_CANCELED');
  });

  test('times out with the states so far', async () => {
    const { id } = await stack.submit('spawn kids 2 sleep a 3600\njoin late all 0.3');
    const done = await stack.until(id, isCompleted);
    const { status, states } = getData(done, 'late') as { status: string; states: string[] };
    assert.deepEqual([status, states.length], ['timed_out', 2]);
  });
});

describe('a call of another agent', () => {
  interface CallRow {
    token: string;
    wait: { task?: string; secret?: string };
  }

  const readCall = async (taskId: string): Promise<CallRow | undefined> => {
    const { rows } = await stack.pool.query(
      `select token, wait from steps where task_id = $1 and wait ->> 'kind' = 'agent'`,
      [taskId],
    );
    return rows[0] as CallRow | undefined;
  };
  const readCalledTask = (taskId: string) =>
    waitFor('the task of the other agent', async () => (await readCall(taskId))?.wait.task);

  test('waits for agents of the SDKs, with and without notifications', async () => {
    const names = ['polled', 'notifying', 'legacy'];
    const tasks = await Promise.all(names.map((name) => stack.submit(`agent ${name} later`)));
    const waiting = await Promise.all(tasks.map(({ id }) => stack.until(id, isWaiting)));
    const { message } = waiting[0]!.status;
    const [wait] = message.metadata[waitsExtension];
    assert.deepEqual([wait.name, wait.kind], ['call:polled', 'agent']);
    assert.match(message.parts[0].text, /^Waiting for the agent "polled" until 20/);
    const secrets = await Promise.all(
      tasks.map(async ({ id }) => (await readCall(id))!.wait.secret !== undefined),
    );
    assert.deepEqual(secrets, [false, true, true], 'those that notify have a secret');
    release();
    const done = await Promise.all(tasks.map(({ id }) => stack.until(id, isCompleted)));
    for (const [index, name] of names.entries()) {
      const { status, text } = getData(done[index]!, name) as Record<string, string>;
      assert.deepEqual([status, text?.replaceAll('\n', '')], ['completed', 'hello world'], name);
    }
  });

  test('passes a cancel on, and takes notifications only with their secret', async () => {
    const { id } = await stack.submit('agent notifying wait');
    const called = await readCalledTask(id);
    const { token, wait } = (await readCall(id))!;
    const notify = async (path: string, secret: string, body: string): Promise<number> => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${secret}` };
      return (await fetch(`${stack.apiUrl}/callbacks/agents/${path}`, { method: 'POST', body, headers }))
        .status;
    };
    const forged = JSON.stringify({ task: { id: called, status: { state: 'TASK_STATE_COMPLETED' } } });
    const statuses = await Promise.all([
      notify(token, 'guess', forged),
      notify('guess', wait.secret!, forged),
      notify(token, wait.secret!, '{}'),
      notify(token, wait.secret!, forged),
    ]);
    assert.deepEqual(statuses, [401, 404, 400, 200]);
    const { result } = await stack.rpc('GetTask', { id });
    assert.equal(result.status.state, 'TASK_STATE_WORKING', 'the other agent still works');
    await stack.rpc('CancelTask', { id });
    await waitFor('the cancel of the other agent', async () => {
      const { rows } = await stack.pool.query(
        `select finished_at from steps where task_id = $1 and wait ->> 'kind' = 'agent'`,
        [id],
      );
      return (rows[0] as { finished_at: Date | null }).finished_at !== null;
    });
    const agent = await createRemoteAgents(() => undefined, new Set()).open('peer', {
      url: notifying,
      timeoutSeconds: 60,
      maxOutputChars: 1_000,
    });
    const task = await agent.get(called, new AbortController().signal);
    assert.equal(task?.state, 'TASK_STATE_CANCELED');
  });
});
