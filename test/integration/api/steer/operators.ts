/** Reports for operators, and what they do for an owner. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { takeDrainRequest } from '#shared/db/ops/workers.ts';
import { createClaimedTask, newTask } from '../../../support/database/new-task.ts';
import { aliceKey } from '../../../support/services/api-keys.ts';
import { alice, opsKey, type Json, type Routes } from './routes.ts';

export function testOperators({ db, accept, request, call, createFailedTask, readTask }: Routes): void {
  test('reports waiting work and workers to operators, and nothing to others', async () => {
    const running = await createClaimedTask(db, { ...alice, tenant: 'ops' });
    const [failing, overdue, stalled] = [newTask(alice), newTask(alice), newTask(alice)];
    for (const task of [failing, overdue, stalled]) await accept(task);
    await db.insertInto('owner_usage').values({ owner: 'key:alice', bytes: '1' }).execute();
    const past = new Date(Date.now() - 60_000);
    const change = (id: string, values: object) =>
      db.updateTable('gates').set(values).where('task_id', '=', id).execute();
    await change(failing.taskId, { failing_since: past, failures: 3 });
    await change(overdue.taskId, { deadline_at: past });
    await change(stalled.taskId, { wakeup_at: past });
    const get = async (path: string, key = opsKey) => (await call(path, undefined, key)).body;
    const listIds = async (kind: string) =>
      (await get(`/ops/work?kind=${kind}`)).work.map(({ taskId }: Json) => taskId);
    assert.ok((await listIds('failing')).includes(failing.taskId));
    assert.ok((await listIds('overdue')).includes(overdue.taskId));
    assert.ok((await listIds('stalled')).includes(stalled.taskId));
    assert.deepEqual(await listIds('parked'), []);
    assert.ok((await get('/ops/backlog')).turnsLeased > 0);
    const { workers } = await get('/ops/workers');
    assert.deepEqual([workers[0].worker, workers[0].draining], ['w1', false]);
    const { owners } = await get('/ops/owners');
    assert.deepEqual([owners[0].owner, owners[0].near], ['key:alice', ['openTasks']]);
    assert.ok((await get('/ops/hosts')).hosts.every(({ host }: Json) => typeof host === 'string'));
    assert.deepEqual(await get('/ops/models'), { models: [] });

    const post = async (path: string, body: object, key = opsKey) => call(path, body, key);
    const woken = await post('/ops/turns:wake', { taskIds: [stalled.taskId, running.lease.taskId, 'x'] });
    assert.deepEqual(woken.body, { taskIds: [stalled.taskId] });
    assert.equal((await post('/ops/turns:wake', { stalled: true, taskIds: ['x'] })).status, 400);
    assert.equal((await post('/ops/workers:drain', { worker: 'none' })).status, 404);
    assert.deepEqual((await post('/ops/workers:drain', { worker: 'w1' })).body, { worker: 'w1' });
    assert.equal((await get('/ops/workers')).workers[0].draining, true);
    assert.deepEqual(
      [await takeDrainRequest(db, 'w1'), await takeDrainRequest(db, 'w1')],
      ['exit', undefined],
    );

    for (const path of ['/ops/backlog', '/ops/work?kind=parked', '/ops/usage', '/search?owner=key:bob']) {
      assert.equal((await call(path)).status, 403, path);
    }
    const refused = await post('/ops/turns:wake', { stalled: true }, aliceKey);
    assert.match(refused.body.error.message, /needs the scope operator/);
  });

  test('reports the usage of the most costly owners by day, over their tenants', async () => {
    const entry = {
      prompt_tokens: '2',
      cached_tokens: '0',
      tool_tokens: '0',
      thought_tokens: '1',
      output_tokens: '3',
    };
    const add = (owner: string, tenant: string, day: string, cost: number) =>
      db
        .insertInto('ledger')
        .values({ owner, tenant, day, model: `m${tenant}`, calls: '1', unpriced: '0', cost, ...entry })
        .execute();
    await add('dear', '', '2030-01-01', 5);
    await add('dear', 'b', '2030-01-01', 2);
    await add('dear', '', '2030-01-03', 1);
    await add('cheap', '', '2030-01-02', 1);
    const get = (query: string) =>
      call(`/ops/usage?since=2030-01-01&until=2030-01-02${query}`, undefined, opsKey);
    const tokens = { prompt: 4, cached: 0, tool: 0, thoughts: 2, output: 6 };
    const dear = { day: '2030-01-01', owner: 'dear', calls: 2, tokens, cost: 7, unpriced: 0 };
    const { body } = await get('');
    assert.deepEqual(
      body.lines.map(({ owner, day }: Json) => [owner, day]),
      [
        ['cheap', '2030-01-02'],
        ['dear', '2030-01-01'],
      ],
    );
    assert.deepEqual((await get('&pageSize=1')).body, {
      since: '2030-01-01',
      until: '2030-01-02',
      lines: [dear],
    });
    assert.equal((await get('&pageSize=101')).status, 400);
  });

  test('names the scopes of the credential in every answer', async () => {
    const read = async (path: string, headers: Record<string, string>) =>
      (await request(path, { headers })).headers.get('longhaul-scopes');
    assert.equal(await read('/search', aliceKey), 'read, send');
    assert.equal(await read('/ops/backlog', aliceKey), 'read, send');
    assert.equal(await read('/search', opsKey), 'read, send, operator');
  });

  test('lets operators act for an owner', async () => {
    const taskId = await createFailedTask();
    const asAlice = '?owner=key:alice';
    const found = await call(`/tasks/${taskId}/timeline${asAlice}`, undefined, opsKey);
    assert.equal(found.body.taskId, taskId);
    assert.equal((await call(`/tasks/${taskId}/timeline`, undefined, opsKey)).status, 404);
    const { body } = await call(`/tasks:rerun${asAlice}`, { taskIds: [taskId] }, opsKey);
    assert.equal((await readTask(body.results[0].newTaskId)).owner, 'key:alice');
  });
}
