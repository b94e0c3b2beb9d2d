/** The ledger on a real PostgreSQL counts every recorded model call exactly once. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { usageCommand } from '#services/admin/usage.ts';
import type { Db } from '#shared/db/client/pool.ts';
import {
  createSpendReader,
  deleteLedgerOfOwner,
  readLedger,
  type ReadSpentToday,
} from '#shared/db/models/ledger.ts';
import { readTaskSnapshot } from '#shared/db/tasks/read.ts';
import { createTurnWriter, type NewStep, type WriteTurn } from '#shared/db/turns/write.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import { addUsage, noUsage, usageExtension, type ModelUsage } from '#shared/domain/usage.ts';
import { createClaimedTask, claimTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';

const today = new Date().toISOString().slice(0, 10);
const always = { since: '2000-01-01', until: '2999-12-31' };

function newUsage(model: string, cost?: number): ModelUsage {
  const tokens = { prompt: 100, cached: 40, tool: 10, thoughts: 5, output: 20 };
  return { model, tokens, ...(cost !== undefined && { cost }) };
}
/** Cached tokens are part of the prompt. */
const tokensOfOneCall = 135;

function newStep(occurrence: number, usage?: ModelUsage): NewStep {
  const place = { name: 'model', occurrence, position: occurrence, inputHash: null };
  return { ...place, output: '1', ...(usage && { usage }) };
}

describe('ledger', () => {
  let db: Db;
  let write: WriteTurn;
  let readSpent: ReadSpentToday;
  before(async () => {
    ({ db } = await connectToTestDatabase());
    write = createTurnWriter(db, { wakeupGraceSeconds: 10 });
    readSpent = createSpendReader(db);
  });

  test('counts a step once, when it is first recorded', async () => {
    const caller = { tenant: '', owner: 'once' };
    const { lease } = await createClaimedTask(db, caller);
    const usage = newUsage('gemini-a', 0.5);
    const taskUsage = addUsage(noUsage, usage);
    await write({ lease, steps: [newStep(0, usage)], taskUsage });
    await write({ lease, steps: [newStep(0, usage)], taskUsage });
    await write({ lease, steps: [newStep(1)] });
    const expired = { ...lease, fence: lease.fence - 1 };
    await assert.rejects(
      write({ lease: expired, steps: [newStep(2, usage)], taskUsage: noUsage }),
      LeaseLostError,
    );
    assert.deepEqual(await readLedger(db, ['owner', 'day', 'model'], { ...always, ...caller }), [
      {
        ...caller,
        day: today,
        model: 'gemini-a',
        calls: 1,
        promptTokens: 100,
        cachedTokens: 40,
        toolTokens: 10,
        thoughtTokens: 5,
        outputTokens: 20,
        cost: 0.5,
        unpriced: 0,
      },
    ]);
    assert.deepEqual(await readSpent(caller.owner), { tokens: tokensOfOneCall, cost: 0.5 });
  });

  test('returns the usage of a task to readers and to the next claim', async () => {
    const caller = { tenant: '', owner: 'reader' };
    const { lease } = await createClaimedTask(db, caller);
    const usage = newUsage('gemini-a', 0.5);
    const taskUsage = addUsage(noUsage, usage);
    await write({ lease, steps: [newStep(0, usage)], taskUsage });
    const snapshot = await readTaskSnapshot(db, caller, lease.taskId);
    assert.deepEqual(snapshot?.task.metadata, {
      [usageExtension]: { calls: 1, tokens: usage.tokens, cost: 0.5, unpriced: 0 },
    });
    await write({ lease, finish: { kind: 'release', delaySeconds: 0, countAttempt: false, error: null } });
    assert.deepEqual((await claimTask(db, lease.taskId)).task.usage, taskUsage);
  });

  test('adds up sets of two workers that touch the same rows', async () => {
    const owners = ['p', 'q', 'r', 's'];
    const tasks = await Promise.all(
      Array.from({ length: 40 }, (_, index) => createClaimedTask(db, { owner: owners[index % 4] ?? '' })),
    );
    const writers = [write, createTurnWriter(db, { wakeupGraceSeconds: 10 })];
    await Promise.all(
      tasks.flatMap(({ lease }, index) => {
        const writeTurn = writers[index % 2] ?? write;
        return [0, 1, 2, 3, 4].map((occurrence) =>
          writeTurn({
            lease,
            steps: [newStep(occurrence, newUsage(occurrence % 2 === 0 ? 'gemini-a' : 'gemini-b', 1))],
          }),
        );
      }),
    );
    const lines = await readLedger(db, ['owner', 'model'], always);
    for (const owner of owners) {
      const countCalls = (model: string) =>
        lines.find((line) => line.owner === owner && line.model === model)?.calls;
      assert.deepEqual([countCalls('gemini-a'), countCalls('gemini-b')], [30, 20]);
    }
    assert.deepEqual(
      await Promise.all(owners.map((owner) => readSpent(owner))),
      owners.map(() => ({ tokens: 50 * tokensOfOneCall, cost: 50 })),
    );
  });

  test('separates days', async () => {
    const caller = { tenant: 'days', owner: 'daily' };
    const { lease } = await createClaimedTask(db, caller);
    await write({ lease, steps: [newStep(0, newUsage('gemini-a'))] });
    await db.updateTable('ledger').set({ day: '2026-01-31' }).where('tenant', '=', caller.tenant).execute();
    await write({ lease, steps: [newStep(1, newUsage('gemini-a'))] });
    const readDays = async (since: string, until: string) =>
      (await readLedger(db, ['day'], { since, until, tenant: caller.tenant })).map(({ day, calls }) => [
        day,
        calls,
      ]);
    assert.deepEqual(await readDays('2026-01-01', '2026-01-31'), [['2026-01-31', 1]]);
    assert.deepEqual(await readDays('2026-02-01', today), [[today, 1]]);
    assert.deepEqual(await readSpent(caller.owner), { tokens: tokensOfOneCall, cost: 0 });
  });

  test('counts calls without a price', async () => {
    const { lease } = await createClaimedTask(db, { tenant: 'unpriced' });
    await write({
      lease,
      steps: [newStep(0, newUsage('gemini-a')), newStep(1, newUsage('gemini-a', 1))],
    });
    const [line] = await readLedger(db, ['model'], { ...always, tenant: 'unpriced' });
    assert.deepEqual([line?.calls, line?.unpriced, line?.cost], [2, 1, 1]);
  });

  test('adds up what an owner has spent in all its tenants', async () => {
    for (const tenant of ['one', 'two']) {
      const { lease } = await createClaimedTask(db, { tenant, owner: 'same' });
      await write({ lease, steps: [newStep(0, newUsage('gemini-a', 1))] });
    }
    assert.deepEqual(await readSpent('same'), { tokens: 2 * tokensOfOneCall, cost: 2 });
    const lines = await readLedger(db, ['owner'], { ...always, owner: 'same' });
    assert.deepEqual(
      lines.map(({ tenant, cost }) => [tenant, cost]),
      [
        ['one', 1],
        ['two', 1],
      ],
    );
  });

  test('forgets an owner', async () => {
    const caller = { tenant: 'forgotten', owner: 'ada' };
    const { lease } = await createClaimedTask(db, caller);
    await write({ lease, steps: [newStep(0, newUsage('gemini-a'))] });
    await deleteLedgerOfOwner(db, caller);
    assert.deepEqual(await readLedger(db, ['owner'], { ...always, tenant: caller.tenant }), []);
  });
});

describe('admin usage', () => {
  let db: Db;
  before(async () => {
    ({ db } = await connectToTestDatabase());
    const write = createTurnWriter(db, { wakeupGraceSeconds: 10 });
    const { lease } = await createClaimedTask(db, { tenant: 't', owner: 'shown' });
    await write({ lease, steps: [newStep(0, newUsage('gemini-a', 0.25)), newStep(1, newUsage('gemini-b'))] });
  });

  async function run(...args: string[]): Promise<string[]> {
    const lines: string[] = [];
    await usageCommand.run({
      db,
      env: {},
      args: [...args, '--owner', 'shown'],
      print: (line) => lines.push(line),
    });
    return lines;
  }

  test('prints a table with its sum', async () => {
    assert.deepEqual(await run('--by', 'owner,model'), [
      'owner    model     calls  prompt  cached  tool  thoughts  output    cost',
      't/shown  gemini-a      1     100      40    10         5      20  0.2500',
      't/shown  gemini-b      1     100      40    10         5      20  0.0000',
      '                       2     200      80    20        10      40  0.2500',
      '\nThe cost does not include 1 calls of models without a price.',
    ]);
  });

  test('prints JSON', async () => {
    const [json = ''] = await run('--json', '--by', 'day');
    const lines = JSON.parse(json) as { day: string; calls: number }[];
    assert.deepEqual(
      lines.map(({ day, calls }) => [day, calls]),
      [[today, 2]],
    );
  });

  test('prints an empty list for days without calls', async () => {
    assert.deepEqual(await run('--until', '2026-01-01', '--since', '2025-12-01', '--json'), ['[]']);
  });

  for (const args of [
    ['--by', 'task'],
    ['--by', 'day,day'],
    ['--since', '2026-02-30'],
    ['--since', '2026-11-02', '--until', '2026-11-01'],
    ['x'],
  ]) {
    test(`rejects ${args.join(' ')}`, async () => {
      await assert.rejects(run(...args), /usage expects --since and --until/);
    });
  }
});
