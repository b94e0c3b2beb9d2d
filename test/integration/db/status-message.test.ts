/** The message of a task's status: that of its last progress, then that of its end, which is what the agent has answered. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTaskSnapshot } from '#shared/db/tasks/read.ts';
import { createTurnWriter, type NewEvent, type TurnEnd } from '#shared/db/turns/write.ts';
import { caller, claimedTask } from '../../support/database/new-task.ts';
import { openTestDatabase } from '../../support/webhooks/webhooks.ts';

const message = (text: string) => JSON.stringify({ messageId: text, role: 'ROLE_AGENT', parts: [{ text }] });
const progress = (text: string): NewEvent => ({
  kind: 'progress',
  payload: '{}',
  statusMessage: message(text),
});
const end = (text: string | null): TurnEnd => ({
  kind: 'end',
  state: 'TASK_STATE_COMPLETED',
  payload: '{}',
  payloadIfContinued: '{}',
  statusAt: new Date().toISOString(),
  message: text === null ? null : message(text),
  direct: false,
  error: null,
});

test('the message of the status is that of the last progress, and of the end', async () => {
  const db = await openTestDatabase();
  const write = createTurnWriter(db, { wakeupGraceSeconds: 10 });
  const shown = async (taskId: string) =>
    (await readTaskSnapshot(db, caller, taskId))?.task.status.message?.messageId ?? null;
  const answers = async () =>
    (await db.selectFrom('messages').select('turn').where('role', '=', 'agent').execute()).length;
  const chunk: NewEvent = { kind: 'artifact', payload: '{}', artifact: { artifactId: 'a' } };

  const { lease } = await claimedTask(db);
  await write({ lease, events: [progress('first'), progress('second'), chunk] });
  assert.equal(await shown(lease.taskId), 'second');
  assert.equal(await answers(), 0);
  await write({ lease, events: [chunk] });
  assert.equal(await shown(lease.taskId), 'second');
  await write({ lease, events: [progress('third')], finish: end('done') });
  assert.equal(await shown(lease.taskId), 'done');
  assert.equal(await answers(), 1);

  const { lease: silent } = await claimedTask(db);
  await write({ lease: silent, events: [progress('first')], finish: end(null) });
  assert.equal(await shown(silent.taskId), null);
});
