/** The tools for operators that read tasks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { areContentsEncrypted } from '#shared/db/contents/codec.ts';
import { skipIfEncrypted } from '../../../support/database/contents.ts';
import { playTurn } from '../../../support/database/tasks.ts';
import type { Json } from '../../../support/clients/mcp.ts';
import { getText, injection, owner, splitMarked, type OpsRig } from './rig.ts';

export function testTasks(getRig: () => OpsRig): void {
  /** Returns the id of a task that has failed. */
  async function sendFailing(error: string): Promise<string> {
    const { api, send } = getRig();
    const taskId = await send();
    await (await playTurn(api.db, taskId)).end({ state: 'TASK_STATE_FAILED', message: 'It failed.' });
    await sql`update tasks set last_error = ${error} where id = ${taskId}`.execute(api.db);
    return taskId;
  }

  test('find tasks of another owner by their error', { skip: skipIfEncrypted }, async () => {
    const taskId = await sendFailing('The invoice service is away');
    await sendFailing('The order service is away');
    const listed = await getRig().call('ops_list_tasks', {
      owner,
      state: 'failed',
      error: 'INVOICE SERVICE',
    });
    assert.deepEqual(
      listed.structuredContent.tasks.map((task: Json) => task.taskId),
      [taskId],
    );
  });

  test('show why a task of another owner failed', async () => {
    const { api, call } = getRig();
    const error = 'The order service is away';
    const taskId = await sendFailing(error);
    await sql`insert into turn_attempts (task_id, fence, turn, worker, started_at, ended_at, outcome, error)
      values (${taskId}, 99, 1, 'w9', now(), now(), 'failed', ${error})`.execute(api.db);
    const listed = await call('ops_list_tasks', { owner, state: 'failed' });
    const [task] = listed.structuredContent.tasks;
    assert.deepEqual([task.lastError, task.statusText], [error, 'It failed.']);
    assert.match(splitMarked(listed).data, /says: It failed\. last error: The order service is away/);
    const read = await call('ops_get_task', { taskId });
    assert.equal(read.structuredContent.owner, owner);
    assert.match(getText(read), /status message: .*It failed\./);
    const timeline = await call('ops_timeline', { taskId });
    assert.match(splitMarked(timeline).data, /^says: It failed\./);
    assert.match(getText(timeline), /attempt of turn 1 by w9: failed The order service is away/);
  });

  test('show what holds a task back', async () => {
    const { api, call, send } = getRig();
    const until = new Date(Date.now() + 3_600_000);
    const addAttempt = (taskId: string) =>
      sql`insert into turn_attempts (task_id, fence, turn, worker, started_at, ended_at, outcome, error)
        values (${taskId}, 99, 1, 'w9', now(), now(), 'parked', 'The model has no capacity.')`.execute(
        api.db,
      );
    const delay = (taskId: string) =>
      sql`update gates set run_at = ${until} where task_id = ${taskId}`.execute(api.db);
    const enqueue = (taskId: string) =>
      sql`insert into queued_turns (task_id, owner, priority) values (${taskId}, ${owner}, 0)`.execute(
        api.db,
      );
    const limit = (limitedUntil: Date | null) =>
      sql`insert into turn_queues (owner, wake_at, limited_until) values (${owner}, now(), ${limitedUntil})
        on conflict (owner) do update set limited_until = excluded.limited_until`.execute(api.db);
    const put = (taskId: string) =>
      sql`insert into version_queue (task_id, agent_version, check_at) values (${taskId}, 'v1', now())`.execute(
        api.db,
      );
    const cases: [string | undefined, (taskId: string) => Promise<unknown>][] = [
      [undefined, async () => undefined],
      // It runs.
      [undefined, async (taskId) => [await playTurn(api.db, taskId), await delay(taskId)]],
      ['start_time', delay],
      ['parked', async (taskId) => Promise.all([delay(taskId), addAttempt(taskId)])],
      ['owner_limit', async (taskId) => Promise.all([enqueue(taskId), limit(until)])],
      ['owner_share', async (taskId) => Promise.all([enqueue(taskId), limit(null)])],
      ['agent_version', put],
    ];
    for (const [reason, hold] of cases) {
      const taskId = await send();
      await hold(taskId);
      const timeline = await call('ops_timeline', { taskId });
      const read = await call('ops_get_task', { taskId });
      const listed = await call('ops_list_tasks', { owner, pageSize: 1 });
      assert.equal(listed.structuredContent.tasks[0].taskId, taskId);
      for (const each of [timeline, read, { structuredContent: listed.structuredContent.tasks[0] }]) {
        assert.equal(each.structuredContent.held?.reason, reason);
      }
      if (reason !== undefined) {
        const pattern = new RegExp(`held: ${reason} (since|until) \\d{4}-`);
        for (const each of [timeline, read, listed]) assert.match(splitMarked(each).data, pattern);
      }
      // Nothing holds back a task that has ended.
      await call('ops_cancel', { taskIds: [taskId], owner });
      const { structuredContent } = await call('ops_timeline', { taskId });
      assert.equal(structuredContent.held, undefined);
    }
  });

  test('show what a task has produced, cut, and the first artifacts that fit', async () => {
    const { api, call, send } = getRig();
    const taskId = await send();
    const turn = await playTurn(api.db, taskId);
    await turn.artifact([{ text: `The answer. ${'x'.repeat(3_000)}` }]);
    for (let n = 0; n < 2; n++) await turn.artifact([{ text: 'y'.repeat(150_000) }]);
    await turn.end({ state: 'TASK_STATE_COMPLETED' });
    const result = await call('ops_get_task', { taskId });
    const { artifacts, artifactsLeftOut } = result.structuredContent;
    assert.deepEqual([artifacts.length, artifactsLeftOut], [2, 1]);
    assert.match(artifacts[0].parts[0].text, /^The answer\. x+ \[cut: 2000 of 3012 characters\]$/);
    const { head, data } = splitMarked(result);
    assert.match(head, /Left out: 1 artifact\. /);
    assert.match(data, /^artifact answer: \[{"text":"The answer/m);
  });

  test('bound the contents of a task, and say what is left out and how to read it', async () => {
    const { api, call, send } = getRig();
    const taskId = await send();
    const lastError = 'e'.repeat(100_000);
    await sql`update tasks set last_error = ${lastError} where id = ${taskId}`.execute(api.db);
    const turn = await playTurn(api.db, taskId);
    // Not cut, because none of its texts is long.
    const numbers = Array.from({ length: 10_000 }, (_none, number) => number);
    await turn.artifact([{ text: 'first' }, { data: { numbers } }, { text: 'third' }]);
    for (let n = 0; n < 19; n++) await turn.artifact([{ text: 'y'.repeat(3_000) }]);
    await turn.end({ state: 'TASK_STATE_COMPLETED' });
    const result = await call('ops_get_task', { taskId });
    const { structuredContent } = result;
    assert.ok(JSON.stringify(structuredContent).length < 36_000);
    assert.deepEqual(structuredContent.artifacts[0].parts, [{ text: 'first' }]);
    assert.deepEqual(structuredContent.leftOut, ['2 of 3 parts of artifact 1', '5 artifacts']);
    const { head, data } = splitMarked(result);
    assert.match(head, /Left out: 2 of 3 parts of artifact 1, 5 artifacts\. .* GET \/ops\/tasks\/[\w-]+ of /);
    assert.doesNotMatch(data, /\[cut: the rest of/);
    const shorter = await call('ops_get_task', { taskId, maxChars: 100 });
    assert.deepEqual(shorter.structuredContent.leftOut, ['2 of 3 parts of artifact 1']);
  });

  test('count the last error among the contents of a task', async () => {
    const { api, call, send } = getRig();
    const taskId = await send();
    // Has more characters as JSON.
    const lastError = 'line\n'.repeat(10_000);
    await sql`update tasks set last_error = ${lastError} where id = ${taskId}`.execute(api.db);
    const turn = await playTurn(api.db, taskId);
    for (let n = 0; n < 10; n++) await turn.artifact([{ text: 'y'.repeat(3_000) }]);
    await turn.end({ state: 'TASK_STATE_COMPLETED' });
    const result = await call('ops_get_task', { taskId, maxChars: 20_000 });
    const { structuredContent } = result;
    assert.match(structuredContent.lastError, /^(line\n){4000} \[cut: 20000 of 50000 characters\]$/);
    assert.deepEqual(structuredContent.leftOut, ['8 artifacts']);
    assert.ok(JSON.stringify(structuredContent).length < 33_000);
    assert.doesNotMatch(splitMarked(result).data, /\[cut: the rest of/);
  });

  test('show what steps have recorded, and mark it as data', async () => {
    const { addStep, call, send } = getRig();
    const taskId = await send();
    const functionCall = { name: 'find', args: { order: '1001' } };
    await addStep(taskId, 0, 'model', { content: { parts: [{ functionCall }] } });
    await addStep(taskId, 1, 'tool:find', { response: { error: 'There is no order 1001.' }, ms: 1 });
    await addStep(taskId, 2, 'large', 'x'.repeat(300_000));
    const result = await call('ops_steps', { taskId });
    const [, tool, large] = result.structuredContent.steps;
    assert.equal(tool.input, '{"order":"1001"}');
    assert.match(tool.output, /There is no order 1001/);
    // Those of encrypted contents are not read in parts.
    const length = areContentsEncrypted() ? undefined : 2_000;
    assert.deepEqual([large.output?.length, large.cutFromBytes], [length, 300_002]);
    assert.match(splitMarked(result).data, /\[cut: the output has 300002 bytes\]/);

    const one = await call('ops_steps', { taskId, step: 'tool:find', maxChars: 20 });
    const [step] = one.structuredContent.steps;
    assert.deepEqual([step.input, step.output.length], ['{"order":"1001"}', 20]);
    const page = await call('ops_steps', { taskId, pageSize: 1 });
    const before = await call('ops_steps', { taskId, pageToken: page.structuredContent.nextPageToken });
    assert.deepEqual(
      before.structuredContent.steps.map(({ name }: Json) => name),
      ['model', 'tool:find'],
    );
    const unknown = await call('ops_steps', { taskId, step: 'find' });
    assert.equal(unknown.isError, true);
    const { head, data } = splitMarked(unknown);
    assert.equal(head, 'Not found.\n');
    assert.match(data, /has not recorded the step find#0: it has model#0, tool:find#0, large#0/);
  });

  test('show steps of agents in code that are named like those of models', async () => {
    const { addStep, call, send } = getRig();
    for (const output of [null, { content: { parts: [null] } }, { content: { parts: 'hi' } }]) {
      const taskId = await send();
      await addStep(taskId, 0, 'model', output);
      const { structuredContent } = await call('ops_steps', { taskId });
      assert.match(structuredContent.steps[0].startedAt, /^\d{4}-.*Z$/);
    }
  });

  test('show which calls wait for approval', async () => {
    const { api, call, send } = getRig();
    const taskId = await send();
    const requests = [{ id: 'c1', tool: 'cancel_order', arguments: { order: '1002' }, argumentsHash: 'h' }];
    const data = { 'https://longhaul.dev/ext/approval/v1': { requests } };
    const message = { messageId: 'm', role: 'ROLE_AGENT', parts: [{ data }] };
    await sql`update tasks set state = 'TASK_STATE_AUTH_REQUIRED', status_message = ${JSON.stringify(message)}
      where id = ${taskId}`.execute(api.db);
    const listed = await call('ops_list_tasks', { owner, state: 'auth-required' });
    assert.deepEqual(listed.structuredContent.tasks[0].taskId, taskId);
    const read = await call('ops_get_task', { taskId });
    const { head, data: marked } = splitMarked(read);
    assert.match(marked, /"tool":"cancel_order"/);
    // The choices of its caller are data.
    assert.ok(marked.includes(injection) && marked.includes(owner));
    assert.equal(head, `Task ${taskId} is auth-required.\n`);
  });
}
