/** Writes of a running turn are stored once, even if the database refuses them for a while or its answer is lost. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { findEvent, readEvents } from '#shared/db/events/read.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { createTurnWriter, type NewEvent, type TurnWrite } from '#shared/db/turns/write.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import { createLogger } from '#shared/runtime/log.ts';
import type { HeldLease } from '#services/worker/turn/lease-heartbeat.ts';
import { createStore } from '#services/worker/turn/output/store.ts';
import { skipIfEncrypted } from '../../support/database/contents.ts';
import { createClaimedTask, newFollowUp, newWebhook } from '../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();
const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };
const writeTurn = createTurnWriter(db, options);

const refused = Object.assign(new Error('the database system is read-only'), { code: '25006' });
const disconnected = new Error('Connection terminated unexpectedly');
/** Where a write fails: before it has reached the database, or after its commit. */
type Failure = 'refused' | 'lost on the way' | 'answer lost';

/** Starts a turn whose next writes fail in these ways, one after the other. */
async function startTurn(...failures: Failure[]) {
  const { lease, lastEvent } = await createClaimedTask(db, { webhook: newWebhook({ events: 'all' }) });
  let lost: LeaseLostError | undefined;
  const waits: number[] = [];
  const held = { lease, lost: () => lost, assertHeld: async () => undefined } as unknown as HeldLease;
  const write = async (turnWrite: TurnWrite) => {
    const failure = failures.shift();
    if (failure === 'refused') throw refused;
    if (failure === 'lost on the way') throw disconnected;
    const written = await writeTurn(turnWrite);
    if (failure === 'answer lost') throw disconnected;
    return written;
  };
  const store = createStore({
    held,
    lastEvent,
    write,
    findEvent: (taskId, after, event) => findEvent(db, taskId, after, event),
    pace: { wait: async (bytes) => void waits.push(bytes), nextPiece: async () => undefined },
    outbox: { publish: () => undefined },
    log: createLogger('test', 'silent'),
  });
  return {
    lease,
    waits,
    store: (...events: NewEvent[]) => store({ events }),
    record: (output: string) =>
      store({ steps: [{ name: 's', occurrence: 0, position: 0, inputHash: null, output }] }),
    lose: () => (lost = new LeaseLostError('lost')),
    readPayloads: async () =>
      (await readEvents(db, lease.taskId, lastEvent, 100)).map(({ payload }) => JSON.stringify(payload)),
    countDeliveries: async () =>
      (await db.selectFrom('deliveries').select('seq').where('task_id', '=', lease.taskId).execute()).length,
  };
}

const chunk = (text: string): NewEvent => ({
  kind: 'artifact',
  payload: JSON.stringify({ text }),
  artifact: { artifactId: 'a' },
});

describe('an event of a turn', { concurrency: true }, () => {
  for (const failures of [
    ['refused'],
    ['lost on the way'],
    ['answer lost'],
    ['lost on the way', 'answer lost', 'refused'],
  ] as const) {
    test(`is stored once with its delivery: ${failures.join(', ')}`, async () => {
      const turn = await startTurn(...failures);
      await turn.store(chunk('a'));
      assert.deepEqual(await turn.readPayloads(), [chunk('a').payload]);
      assert.equal(await turn.countDeliveries(), 3);
    });
  }

  test('is stored as often as it was written if others have the same content', async () => {
    const turn = await startTurn('answer lost', 'lost on the way', 'answer lost');
    await Promise.all([turn.store(chunk('ha')), turn.store(chunk('ha')), turn.store(chunk('ha'))]);
    assert.deepEqual(await turn.readPayloads(), Array(3).fill(chunk('ha').payload));
  });

  test('is found behind an event of its caller, and with all events of its write', async () => {
    const turn = await startTurn('answer lost', 'answer lost');
    await turn.store(chunk('a'), chunk('b'));
    await acceptFollowUp(db, options, newFollowUp(turn.lease.taskId));
    await turn.store(chunk('b'));
    assert.deepEqual(
      await turn.readPayloads(),
      ['a', 'b', 'b'].map((text) => chunk(text).payload),
    );
  });

  test('waits once at the pace of its owner, and is stored unchanged if it is large', async () => {
    const turn = await startTurn('refused', 'answer lost');
    const large = chunk('"\\é{},NULL'.repeat(10_000));
    await turn.store({ ...large, artifact: { artifactId: 'a', whole: large.payload } });
    assert.deepEqual(turn.waits, [2 * Buffer.byteLength(large.payload)]);
    assert.deepEqual(await turn.readPayloads(), [large.payload]);
  });

  test('is given up when the lease is lost', async () => {
    const turn = await startTurn('refused');
    turn.lose();
    await assert.rejects(turn.store(chunk('a')), LeaseLostError);
    assert.deepEqual(await turn.readPayloads(), []);
  });
});

test('the result of a step is stored once if its answer was lost', { skip: skipIfEncrypted }, async () => {
  const turn = await startTurn('answer lost');
  await turn.record('1');
  const steps = db.selectFrom('steps').select('output').where('task_id', '=', turn.lease.taskId);
  assert.deepEqual(await steps.execute(), [{ output: 1 }]);
});
