/** Turns that wait for a partner become due when it is back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wakeWaitingTurns } from '#shared/db/outbox/wake.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { createClaim } from '#shared/db/turns/claim.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { newTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();
const claim = createClaim(db, { worker: 'w', leaseSeconds: 30, wakeupGraceSeconds: 10, maxAttempts: 5 });
const write = createTurnWriter(db, { wakeupGraceSeconds: 10 });

/** Starts a task and claims its turn. */
async function startTurn() {
  const task = newTask();
  await createAccept(db, { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 })(task);
  const claimed = await claim(task.taskId);
  assert.ok(claimed.kind === 'claimed');
  return claimed.lease;
}

test('a turn that waits for a partner is woken, and no other', async () => {
  const [parked, running] = [await startTurn(), await startTurn()];
  const finish = { kind: 'release', delaySeconds: 300, countAttempt: false, error: 'away' } as const;
  await write({ lease: parked, finish });
  const { taskId } = parked;
  assert.deepEqual(await claim(taskId), { kind: 'idle' });
  const wake = (turns: { taskId: string; turn: number }[]) => wakeWaitingTurns(db, 10, turns);
  assert.deepEqual(await wake([{ taskId, turn: 2 }, running]), []);
  const woken = await wake([parked, running]);
  assert.deepEqual(
    woken.map((wakeup) => [wakeup.taskId, wakeup.turn]),
    [[taskId, 1]],
  );
  assert.deepEqual(await wake([parked]), [], 'it is due');
  assert.equal((await claim(taskId)).kind, 'claimed');
});
