/** Turns of an agent that declares a version: who may claim them, who takes new ones, and what their tasks report. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sql } from 'kysely';
import { spawnChildren } from '#shared/db/children/spawn.ts';
import { createPassOn } from '#services/worker/intake/pass-on.ts';
import { versionsCommand } from '#services/admin/versions.ts';
import { readBacklog } from '#shared/db/outbox/backlog.ts';
import {
  countVersions,
  createLeaveTurn,
  showVersion,
  takeVersionedTurns,
} from '#shared/db/queue/versions.ts';
import { reportUnservedTurns } from '#shared/db/queue/unserved.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { createClaim, type ClaimResult } from '#shared/db/turns/claim.ts';
import type { Lease } from '#shared/db/turns/leases.ts';
import { createTurnWriter, type TurnRelease } from '#shared/db/turns/write.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { newFollowUp, newTask, newTurnEnd, newWebhook } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const { db } = await connectToTestDatabase();
const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };
const accept = createAccept(db, options);
const leave = createLeaveTurn(db, { wakeSeconds: 60 });
const again: TurnRelease = { kind: 'release', delaySeconds: 0, countAttempt: false, error: null };

/** A worker whose agent has this version and is compatible with others. */
class Worker {
  readonly claim;
  readonly #write;

  constructor(version?: string, compatibleWith: string[] = []) {
    const agentVersions = version === undefined ? [] : [version, ...compatibleWith];
    this.claim = createClaim(db, {
      ...options,
      worker: 'w',
      leaseSeconds: 30,
      maxAttempts: 5,
      agentVersions,
    });
    this.#write = createTurnWriter(db, { ...options, agentVersion: version });
  }

  async getLease(taskId: string): Promise<Lease> {
    const result = await this.claim(taskId);
    if (result.kind !== 'claimed') assert.fail(`the task was not claimed: ${result.kind}`);
    return result.lease;
  }

  async kind(taskId: string): Promise<ClaimResult['kind']> {
    return (await this.claim(taskId)).kind;
  }

  async record(lease: Lease, name: string): Promise<void> {
    const step = { name, occurrence: 0, position: 0, inputHash: null, output: '1' };
    await this.#write({ lease, steps: [step] });
  }

  release(lease: Lease) {
    return this.#write({ lease, finish: again });
  }

  end(lease: Lease, state: 'TASK_STATE_COMPLETED' | 'TASK_STATE_INPUT_REQUIRED') {
    return this.#write({ lease, finish: newTurnEnd(lease.taskId, state) });
  }

  /** Records a step and releases the turn. */
  async start(taskId: string, step = 'one'): Promise<void> {
    const lease = await this.getLease(taskId);
    await this.record(lease, step);
    await this.release(lease);
  }
}

async function acceptTask(more = {}): Promise<string> {
  const task = newTask(more);
  await accept(task);
  return task.taskId;
}

const readGate = (taskId: string) =>
  db.selectFrom('gates').selectAll().where('task_id', '=', taskId).executeTakeFirstOrThrow();

const [old, next, none] = [new Worker('1'), new Worker('2'), new Worker()];

describe('a turn with steps of a version', () => {
  test('is claimed by workers of that version only, and spends no attempt', async () => {
    const taskId = await acceptTask();
    await old.start(taskId);
    assert.deepEqual([await next.kind(taskId), await none.kind(taskId)], ['other_version', 'other_version']);
    const { attempts, fence } = await readGate(taskId);
    assert.equal(attempts, 0);
    assert.equal((await old.getLease(taskId)).fence, fence + 1);
    assert.equal(await next.kind(taskId), 'leased');
  });

  test('is continued by a compatible version, and then belongs to that one', async () => {
    const taskId = await acceptTask();
    await old.start(taskId);
    const compatible = new Worker('3', ['1']);
    const lease = await compatible.getLease(taskId);
    await compatible.release(lease);
    assert.equal((await readGate(taskId)).agent_version, '1', 'it has recorded nothing yet');
    await compatible.start(taskId, 'two');
    assert.equal((await readGate(taskId)).agent_version, '3');
    assert.equal(await old.kind(taskId), 'other_version');
  });

  test('frees the version of the task when it ends', async () => {
    const taskId = await acceptTask();
    const lease = await old.getLease(taskId);
    await old.record(lease, 'one');
    await old.end(lease, 'TASK_STATE_INPUT_REQUIRED');
    await acceptFollowUp(db, options, newFollowUp(taskId));
    assert.equal(await next.kind(taskId), 'claimed');
  });

  test('is one that has started children', async () => {
    const lease = await old.getLease(await acceptTask());
    const step = { name: 'spawn', occurrence: 0, position: 0, output: '1' };
    const spawn = { lease, group: uuidv7(), depth: 1, tasks: [newTask()], step };
    await spawnChildren(db, { ...options, agentVersion: '1' }, spawn);
    assert.equal((await readGate(lease.taskId)).agent_version, '1');
  });

  test('is in the queue of its version until a worker takes it', async () => {
    const taskId = await acceptTask();
    await old.start(taskId);
    await leave(taskId);
    await leave(taskId);
    assert.deepEqual(await takeVersionedTurns(db, ['2'], 10), []);
    const [taken, ...others] = await takeVersionedTurns(db, ['3', '1'], 10);
    assert.equal(taken?.taskId, taskId);
    assert.equal(taken.owner, 'ada');
    assert.deepEqual(others, []);
    assert.deepEqual(await takeVersionedTurns(db, ['1'], 10), []);
    assert.equal(await old.kind(taskId), 'claimed');
  });

  test('keeps its place within the limit of its owner in the queue', async () => {
    const taskId = await acceptTask();
    await old.start(taskId);
    const { fence } = await readGate(taskId);
    await sql`insert into admitted_turns values (${taskId}, 'ada', ${fence}, now() + interval '45 s')`.execute(
      db,
    );
    await leave(taskId);
    assert.equal((await takeVersionedTurns(db, ['1'], 10))[0]?.admitted, true);
    await sql`update admitted_turns set admitted_until = now() + interval '5 s'`.execute(db);
    await leave(taskId);
    assert.equal((await takeVersionedTurns(db, ['1'], 10))[0]?.admitted, false, 'it is about to end');
  });
});

test('a turn without steps is claimed by workers of every version', async () => {
  const taskId = await acceptTask();
  await old.release(await old.getLease(taskId));
  await next.release(await next.getLease(taskId));
  assert.equal(await none.kind(taskId), 'claimed');
  await leave(taskId);
  assert.deepEqual(await takeVersionedTurns(db, ['1', '2'], 10), []);
});

describe('new turns', () => {
  const isNewest = async (version: string) => (await showVersion(db, version)).isNewest;
  const hide = (version: string) =>
    sql`update running_versions set seen_at = now() - interval '16 s' where version = ${version}`.execute(db);

  test('are taken by the version that appeared last, as long as it runs', async () => {
    assert.equal(await isNewest('1'), true);
    assert.equal(await isNewest('2'), true);
    assert.equal(await isNewest('1'), false);
    assert.deepEqual(
      (await countVersions(db)).map(({ version, running }) => [version, running]).slice(0, 2),
      [
        ['2', true],
        ['1', true],
      ],
    );
    await hide('2');
    assert.equal(await isNewest('1'), true, 'no worker of version 2 is left');
  });

  test('are taken by an older version that is deployed again', async () => {
    assert.equal(await isNewest('a'), true);
    assert.equal(await isNewest('b'), true);
    await hide('a');
    assert.equal(await isNewest('a'), true);
    assert.equal(await isNewest('b'), false);
  });
});

test('a new turn in push mode is passed on while a newer version gets requests', async () => {
  const log = createLogger('test', 'silent');
  const [first, second] = ['push 1', 'push 2'].map((version) => createPassOn(db, version, log));
  const [fresh, started] = await Promise.all([acceptTask(), acceptTask()]);
  await old.start(started);
  assert.equal(await first!(fresh), false, 'it is the newest');
  assert.equal(await second!(fresh), false);
  const again = createPassOn(db, 'push 1', log);
  assert.deepEqual([await again(started), await again(fresh)], [false, true]);
  const { wakeup_at: wakeupAt } = await readGate(fresh);
  assert.ok(Math.abs(wakeupAt.getTime() - Date.now() - 1_000) < 900, wakeupAt.toISOString());
  await sql`update running_versions set seen_at = now() - interval '61 s' where version = 'push 2'`.execute(
    db,
  );
  assert.equal(await createPassOn(db, 'push 1', log)(fresh), false, 'no other version gets requests');
});

describe('a turn that no worker takes for a minute', () => {
  const pass = () =>
    sql`update version_queue set check_at = now() - interval '1 s', queued_at = now() - interval '1 h'`.execute(
      db,
    );
  const report = () => reportUnservedTurns(db, { limit: 10, wakeupGraceSeconds: 10 });

  test('is reported once in the status of its task, and counted', async () => {
    const taskId = await acceptTask({ webhook: newWebhook({ events: 'all', ordered: false }) });
    await old.start(taskId);
    await leave(taskId);
    assert.deepEqual(await report(), { wakeups: [], examined: 0 });
    const { last_event: before } = await readGate(taskId);
    const lines: string[] = [];
    await versionsCommand.run({ db, env: {}, args: [], print: (line) => void lines.push(line) });
    const [line] = lines.filter((each) => each.startsWith('1 '));
    assert.match(line ?? '', /^1 +running +\d+ turns, 1 of them without a worker$/);
    await pass();
    assert.equal((await readBacklog(db)).turnsUnserved, 1);
    const { wakeups, examined } = await report();
    assert.equal(examined, 1);
    assert.deepEqual(
      wakeups.map(({ kind }) => kind),
      ['delivery'],
    );
    const { state, status_message: message } = await db
      .selectFrom('tasks')
      .select(['state', 'status_message'])
      .where('id', '=', taskId)
      .executeTakeFirstOrThrow();
    assert.equal(state, 'TASK_STATE_WORKING');
    assert.match(
      message?.parts[0]?.text ?? '',
      /^Waiting since \S+Z: no worker runs version "1" of the agent, with which this turn has started\.$/,
    );
    const { last_event: after } = await readGate(taskId);
    assert.equal(after, before + 1);
    await pass();
    await report();
    assert.equal((await readGate(taskId)).last_event, after, 'it is reported once');
    assert.equal((await takeVersionedTurns(db, ['1'], 10))[0]?.taskId, taskId);
  });

  test('leaves the queue when its task is canceled', async () => {
    const taskId = await acceptTask();
    await old.start(taskId);
    await leave(taskId);
    await cancelTask(db, options, taskId);
    await pass();
    await report();
    assert.deepEqual(await takeVersionedTurns(db, ['1'], 10), []);
  });
});
