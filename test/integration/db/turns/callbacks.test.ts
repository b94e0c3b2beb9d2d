/** A callback ends once: by its answer or by its timeout, whichever comes first under the lock of the gate. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { answerCallback, readCallback, timeOutCallback } from '#shared/db/turns/waits/callbacks.ts';
import { createInputReader } from '#shared/db/turns/input/input.ts';
import { createTurnWriter, type NewWait } from '#shared/db/turns/write.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { createClaimedTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();
const options = { wakeupGraceSeconds: 10 };
const write = createTurnWriter(db, options);
const identity = { name: 'wait', occurrence: 0, position: 0, inputHash: null };
const result = JSON.stringify({ status: 'answered', body: 1 });

async function createWait(dueInSeconds: number, kind: 'callback' | 'sleep' = 'callback') {
  const claimed = await createClaimedTask(db);
  const token = uuidv7();
  const wait: NewWait = { wait: { kind }, dueInSeconds, token: kind === 'sleep' ? null : token };
  await write({ lease: claimed.lease, steps: [{ ...identity, output: null, wait }] });
  return { claimed, lease: claimed.lease, token };
}

describe('a callback', () => {
  test('has one end when its answer and its timeout meet', async () => {
    const race = async (dueInSeconds: number): Promise<string | undefined> => {
      const { lease, token } = await createWait(dueInSeconds);
      const [answered, timedOut] = await Promise.all([
        answerCallback(db, options, { token, result }),
        timeOutCallback(db, lease, identity),
      ]);
      const stored = await readCallback(db, token);
      if (answered !== undefined) assert.equal(stored?.state, 'answered');
      if (timedOut?.status === 'timed_out')
        assert.deepEqual([answered, stored?.state], [undefined, 'timed_out']);
      return stored?.state;
    };
    assert.equal(await race(60), 'answered');
    assert.equal(await race(0), 'timed_out');
    // Due about when both arrive.
    await Promise.all(Array.from({ length: 60 }, (_, index) => race(index / 2000)));
  });

  test('is answered once by many at the same time', async () => {
    const { token } = await createWait(60);
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => answerCallback(db, options, { token, result })),
    );
    assert.equal(answers.filter((answer) => answer !== undefined).length, 1);
  });

  test('wakes a turn that was put back, and not one that runs', async () => {
    const running = await createWait(60);
    assert.deepEqual(await answerCallback(db, options, { token: running.token, result }), []);
    const release = {
      kind: 'release',
      delaySeconds: 60,
      countAttempt: false,
      signals: 0,
      error: null,
    } as const;
    const { wakeups } = await write({ lease: running.lease, finish: release });
    assert.equal(wakeups.length, 1, 'its worker learns of the answer when it puts the turn back');

    const waiting = await createWait(60);
    const put = await write({ lease: waiting.lease, finish: release });
    assert.deepEqual(put.wakeups, []);
    const woken = await answerCallback(db, options, { token: waiting.token, result });
    assert.deepEqual(
      woken?.map(({ taskId }) => taskId),
      [waiting.lease.taskId],
    );
  });

  test('cannot be timed out without the lease', async () => {
    const { lease } = await createWait(0);
    assert.equal(await timeOutCallback(db, { ...lease, fence: lease.fence + 1 }, identity), undefined);
  });
});

test('time that a turn waits does not count as time that it runs', async () => {
  const startedAt = performance.now();
  const { claimed, lease } = await createWait(0.4, 'sleep');
  const second: NewWait = { wait: { kind: 'sleep' }, dueInSeconds: 0.4, token: null };
  await write({ lease, steps: [{ ...identity, name: 'other', position: 1, output: null, wait: second }] });
  await sleep(700);
  const readInput = createInputReader(db, { recordBytes: 1e6 });
  const memory = { maxBytes: 1e9, take: async () => undefined };
  const { startedSecondsAgo, steps } = await readInput({ ...claimed, content: undefined }, memory);
  const seconds = (performance.now() - startedAt) / 1000;
  const ran = `ran for ${startedSecondsAgo} s of ${seconds}`;
  assert.ok(startedSecondsAgo > 0.1 && startedSecondsAgo < seconds - 0.35, ran);
  assert.deepEqual(
    steps.map(({ finished, wait }) => [finished, wait!.dueInSeconds < 0]),
    [
      [false, true],
      [false, true],
    ],
  );
});
