/** The stream of a timeline. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { uuidv7 } from '#shared/domain/ids.ts';
import { readSse } from '../../../support/clients/sse.ts';
import { createClaimedTask, newTurnEnd } from '../../../support/database/new-task.ts';
import { aliceKey, bobKey } from '../../../support/services/api-keys.ts';
import { alice, type Json, type Routes } from './routes.ts';

export function testTimelines({ db, write, lines, streamEnds, request, call }: Routes): void {
  test('streams a timeline and its changes, and continues after a part', { timeout: 20_000 }, async () => {
    const { lease } = await createClaimedTask(db, alice);
    const { taskId } = lease;
    const open = (headers: Record<string, string> = {}, key = aliceKey) =>
      request(`/tasks/${taskId}/timeline`, { headers: { accept: 'text/event-stream', ...key, ...headers } });
    assert.equal((await open({}, bobKey)).status, 404);
    const missing = await request(`/tasks/${uuidv7()}/timeline`, {
      headers: { accept: 'text/event-stream', ...aliceKey },
    });
    assert.equal(missing.status, 404);
    assert.equal((await open({ 'last-event-id': 'x' })).status, 400);
    const parts = readSse(await open());
    const read = async () => (await parts.next()).value!;
    const { data: whole, id } = await read();
    assert.deepEqual([whole.turns[0].attempts.length, whole.turns[0].steps, whole.events.length], [1, [], 2]);
    await write({ lease, steps: [{ name: 'a', occurrence: 0, position: 0, inputHash: null, output: '1' }] });
    const { data: change } = await read();
    assert.deepEqual(
      change.turns[0].steps.map(({ name }: Json) => name),
      ['a'],
    );
    assert.deepEqual([change.turns[0].attempts, change.events], [[], []]);
    await write({ lease, finish: newTurnEnd(taskId, 'TASK_STATE_COMPLETED') });
    const { data: end, id: lastId } = await read();
    assert.deepEqual([end.state, end.events.length], ['TASK_STATE_COMPLETED', 1]);
    assert.equal(end.turns[0].attempts[0].outcome, 'finished');
    assert.equal((await parts.next()).done, true);
    const resumed = readSse(await open({ 'last-event-id': String(id) }));
    const { data: missed } = (await resumed.next()).value!;
    assert.equal(missed.turns[0].steps.length, 1);
    assert.equal((await open({ 'last-event-id': String(lastId) })).status, 204);
  });

  test('logs no error when a client leaves its stream', async () => {
    const { lease } = await createClaimedTask(db, alice);
    const path = `/tasks/${lease.taskId}/timeline`;
    const response = await request(path, { headers: { accept: 'text/event-stream', ...aliceKey } });
    const reader = response.body!.getReader();
    await reader.read();
    const ended = once(streamEnds, 'end');
    await reader.cancel();
    await ended;
    // Answered after everything that the server does when a client has left.
    await call(path);
    assert.deepEqual(
      lines.filter(({ level }) => level === 'error'),
      [],
    );
  });
}
