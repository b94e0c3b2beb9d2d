/** The experimental tasks of revision 2025-11-25. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Db } from '#shared/db/client/pool.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { aliceKey, bobKey } from '../../../support/services/api-keys.ts';
import type { Json, McpAnswer } from '../../../support/clients/mcp.ts';
import { playTurn } from '../../../support/database/tasks.ts';

/** Sends a request of this revision, by default as alice. */
type Call = (method: string, params: Json, headers?: Record<string, string>) => Promise<McpAnswer>;

export function testLegacyTasks(
  call: Call,
  { getDb, getSkill }: { getDb: () => Db; getSkill: () => string },
): void {
  async function startLegacy(): Promise<string> {
    const params = { name: getSkill(), arguments: { text: 'work' }, task: { ttl: 60_000 } };
    const { result } = await call('tools/call', params);
    assert.equal(result.task.status, 'working');
    assert.equal(result.task.pollInterval, 1000);
    return result.task.taskId;
  }

  test('are polled, and have their result', async () => {
    const taskId = await startLegacy();
    assert.equal((await call('tasks/get', { taskId })).result.status, 'working');
    assert.match((await call('tasks/result', { taskId })).error?.message ?? '', /no result yet/);
    const turn = await playTurn(getDb(), taskId);
    await turn.artifact([{ text: 'done' }]);
    await turn.end({ state: 'TASK_STATE_COMPLETED' });
    assert.equal((await call('tasks/get', { taskId })).result.status, 'completed');
    const { result } = await call('tasks/result', { taskId });
    assert.equal(result.content[0].text, 'done');
    assert.deepEqual(result._meta['io.modelcontextprotocol/related-task'], { taskId });
  });

  test('fail if their result is an error', async () => {
    const taskId = await startLegacy();
    await (await playTurn(getDb(), taskId)).end({ state: 'TASK_STATE_FAILED', message: 'No.' });
    const { result } = await call('tasks/get', { taskId });
    assert.deepEqual([result.status, result.statusMessage], ['failed', 'No.']);
  });

  test('are missing for other callers in every method', async () => {
    const [taskId, missing] = [await startLegacy(), uuidv7()];
    for (const method of ['tasks/get', 'tasks/result', 'tasks/cancel']) {
      const ask = async (id: string, headers: Record<string, string>) =>
        (await call(method, { taskId: id }, headers)).error;
      const expected = await ask(missing, aliceKey);
      assert.equal(expected?.code, -32_602);
      const { code, message = '' } = (await ask(taskId, bobKey)) ?? {};
      assert.deepEqual({ code, message: message.replace(taskId, missing) }, expected);
    }
    const { result } = await call('tasks/list', {}, bobKey);
    assert.deepEqual(result.tasks, []);
  });

  test('are listed, and canceled once', async () => {
    const taskId = await startLegacy();
    const { result } = await call('tasks/list', {});
    assert.ok(result.tasks.some((task: Json) => task.taskId === taskId));
    assert.equal((await call('tasks/cancel', { taskId })).result.status, 'cancelled');
    assert.equal((await call('tasks/cancel', { taskId })).error?.code, -32_602);
  });
}
