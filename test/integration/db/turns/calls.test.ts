/** Calls of other agents: notifications wake their turns, and abandoned ones are found and canceled. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RemoteAgent, RemoteAgents } from '#services/worker/agent/remote/agent.ts';
import { startAbandonedCalls } from '#services/worker/turn/calls/abandoned.ts';
import { closeCall, postponeCall, readAbandonedCalls } from '#shared/db/calls/abandoned.ts';
import { recordCallWait } from '#shared/db/calls/record.ts';
import { readCallWait, reportCall } from '#shared/db/calls/report.ts';
import { storeAgent } from '#shared/db/tasks/agents.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import type { AgentWait } from '#shared/domain/wait.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { skipIfEncrypted } from '../../../support/database/contents.ts';
import { createClaimedTask, newTurnEnd } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();
const options = { wakeupGraceSeconds: 10 };
const write = createTurnWriter(db, options);
const identity = { name: 'call:peer', occurrence: 0, position: 0, inputHash: null };
const release = { kind: 'release', delaySeconds: 60, countAttempt: false, signals: 0, error: null } as const;
const definition = { agents: { peer: { url: 'http://peer.test' } } };
await storeAgent(db, 'calls', definition);

async function createCall(wait: Partial<AgentWait> = {}, agentHash = 'calls') {
  const { lease } = await createClaimedTask(db, { agentHash });
  const token = randomUUID();
  const whole: AgentWait = { kind: 'agent', agent: 'peer', secret: 's', ...wait };
  await write({
    lease,
    steps: [{ ...identity, output: null, wait: { wait: whole, dueInSeconds: 60, token } }],
  });
  return { lease, token, wait: whole };
}

const findAbandoned = async (taskId: string) =>
  (await readAbandonedCalls(db)).filter((call) => call.taskId === taskId);

describe('a notification of another agent', () => {
  test('wakes the turn that waits, and keeps a task that is not recorded', async () => {
    const { lease, token } = await createCall();
    await write({ lease, finish: release });
    assert.deepEqual(await reportCall(db, options, { token, task: 'other-1', wakes: false }), []);
    const woken = await reportCall(db, options, { token, task: 'other-1', wakes: true });
    assert.deepEqual(
      woken.map(({ kind }) => kind),
      ['turn'],
    );
    const { wait, isOpen } = (await readCallWait(db, token))!;
    assert.deepEqual([wait.reported, wait.secret, isOpen], ['other-1', 's', true]);
  });

  test('leaves a recorded task, and does nothing once the call has ended', async () => {
    const { lease, token, wait } = await createCall();
    await recordCallWait(db, lease, identity, { wait: { ...wait, task: 'other-1' }, dueInSeconds: 5 });
    await reportCall(db, options, { token, task: 'forged', wakes: true });
    assert.deepEqual((await readCallWait(db, token))?.wait, { ...wait, task: 'other-1' });
    await write({ lease, steps: [{ ...identity, output: '{"status":"completed"}' }] });
    assert.deepEqual(await reportCall(db, options, { token, task: 'other-1', wakes: true }), []);
    assert.equal((await readCallWait(db, token))?.isOpen, false);
    assert.equal(await readCallWait(db, 'unknown'), undefined);
  });
});

describe('a call', () => {
  test('is not recorded without the lease', async () => {
    const { lease, wait } = await createCall();
    const lost = { ...lease, fence: lease.fence - 1 };
    await assert.rejects(recordCallWait(db, lost, identity, { wait, dueInSeconds: 1 }), LeaseLostError);
  });

  test('is abandoned at once when its task is canceled, until it is closed', async () => {
    const { lease, wait } = await createCall();
    await recordCallWait(db, lease, identity, { wait: { ...wait, task: 'other-1' }, dueInSeconds: 600 });
    assert.deepEqual(await findAbandoned(lease.taskId), []);
    await cancelTask(db, options, lease.taskId);
    const [call] = await findAbandoned(lease.taskId);
    assert.deepEqual([call?.agent, call?.remoteTask, call?.definition], ['peer', 'other-1', definition]);
    await postponeCall(db, call!, 60);
    assert.deepEqual(await findAbandoned(lease.taskId), []);
    await postponeCall(db, call!, 0);
    await closeCall(db, (await findAbandoned(lease.taskId))[0]!);
    assert.deepEqual(await findAbandoned(lease.taskId), []);
  });

  test(
    'that waits for the caller is abandoned when its task is canceled',
    { skip: skipIfEncrypted },
    async () => {
      const { lease } = await createCall({ task: 'other-1', asks: true });
      const output = '{"status":"input_required"}';
      await write({ lease, steps: [{ ...identity, output }] });
      const end = newTurnEnd(lease.taskId, 'TASK_STATE_INPUT_REQUIRED');
      await write({ lease, finish: end });
      assert.deepEqual(await findAbandoned(lease.taskId), []);
      await cancelTask(db, options, lease.taskId);
      const [call] = await findAbandoned(lease.taskId);
      assert.equal(call?.remoteTask, 'other-1');
      await closeCall(db, call);
      const kept = db.selectFrom('steps').select('output').where('task_id', '=', lease.taskId);
      assert.deepEqual(
        (await kept.executeTakeFirst())?.output,
        { status: 'input_required' },
        'the record is kept',
      );
    },
  );
});

describe('abandoned calls', () => {
  /** Cancels calls until the test ends. The agent "peer" of the definition "slow" never answers. */
  async function startLoop(t: TestContext, found?: string) {
    await storeAgent(db, 'slow', { agents: { peer: { url: 'http://slow.test' } } });
    const canceled = new EventEmitter();
    const agent = (url?: string) => ({
      find: async () => (found === undefined ? undefined : { taskId: found, notifies: false }),
      cancel: async (taskId: string, signal: AbortSignal) => {
        if (url === 'http://slow.test') await sleep(60_000, undefined, { signal, ref: false });
        canceled.emit(taskId);
      },
    });
    const remote: RemoteAgents = {
      open: async (_name, { url }) => agent(url) as unknown as RemoteAgent,
    };
    const loop = startAbandonedCalls({ db, remote, everyMs: 20, log: createLogger('test', 'silent') });
    t.after(() => loop.close());
    return (taskId: string) => once(canceled, taskId, { signal: AbortSignal.timeout(10_000) });
  }

  test('of one agent that does not answer delay no others', async (t) => {
    for (let index = 0; index < 20; index += 1) {
      const slow = await createCall({ task: `slow-${index}` }, 'slow');
      await cancelTask(db, options, slow.lease.taskId);
    }
    const other = await createCall({ task: 'other-2' });
    await cancelTask(db, options, other.lease.taskId);
    const wait = await startLoop(t);
    await wait('other-2');
  });

  test('without a known task are looked for by their message', async (t) => {
    const { lease } = await createCall();
    await cancelTask(db, options, lease.taskId);
    const wait = await startLoop(t, 'found-1');
    await wait('found-1');
  });
});
