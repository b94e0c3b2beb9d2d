/**
 * The status message of a task is that of its last progress, and then the agent's answer at its end.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { Db } from '#shared/db/client/pool.ts';
import { readTaskSnapshot } from '#shared/db/tasks/read.ts';
import type { Lease } from '#shared/db/turns/leases.ts';
import { createTurnWriter, type NewEvent, type WriteTurn } from '#shared/db/turns/write.ts';
import { caller, createClaimedTask, newTurnEnd } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

describe('status message', () => {
  let db: Db;
  let write: WriteTurn;
  before(async () => {
    ({ db } = await connectToTestDatabase());
    write = createTurnWriter(db, { wakeupGraceSeconds: 10 });
  });

  const newMessage = (text: string) =>
    JSON.stringify({ messageId: text, role: 'ROLE_AGENT', parts: [{ text }] });
  const progress = (text: string): NewEvent => ({
    kind: 'progress',
    payload: '{}',
    statusMessage: newMessage(text),
  });
  const chunk: NewEvent = { kind: 'artifact', payload: '{}', artifact: { artifactId: 'a' } };
  const end = ({ taskId }: Lease, text: string | null) =>
    newTurnEnd(taskId, 'TASK_STATE_COMPLETED', { message: text === null ? null : newMessage(text) });

  async function readMessageId({ taskId }: Lease): Promise<string | null> {
    return (await readTaskSnapshot(db, caller, taskId))?.task.status.message?.messageId ?? null;
  }

  async function countAnswers({ taskId }: Lease): Promise<number> {
    const answers = db.selectFrom('messages').select('turn').where('role', '=', 'agent');
    return (await answers.where('task_id', '=', taskId).execute()).length;
  }

  test('is that of the last progress', async () => {
    const { lease } = await createClaimedTask(db);
    await write({ lease, events: [progress('first'), progress('second'), chunk] });
    assert.equal(await readMessageId(lease), 'second');
    assert.equal(await countAnswers(lease), 0);
  });

  test('stays when an event without a message follows', async () => {
    const { lease } = await createClaimedTask(db);
    await write({ lease, events: [progress('first')] });
    await write({ lease, events: [chunk] });
    assert.equal(await readMessageId(lease), 'first');
  });

  test('is that of the end, and is stored as the answer', async () => {
    const { lease } = await createClaimedTask(db);
    await write({ lease, events: [progress('first')], finish: end(lease, 'done') });
    assert.equal(await readMessageId(lease), 'done');
    assert.equal(await countAnswers(lease), 1);
  });

  test('is removed by an end without a message', async () => {
    const { lease } = await createClaimedTask(db);
    await write({ lease, events: [progress('first')], finish: end(lease, null) });
    assert.equal(await readMessageId(lease), null);
    assert.equal(await countAnswers(lease), 0);
  });
});
