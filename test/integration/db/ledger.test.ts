/** The ledger on a real PostgreSQL: every call of a model that is recorded is counted, and once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClaim } from '#shared/db/turns/claim.ts';
import { readLedger, deleteLedgerOfOwner, createSpendReader } from '#shared/db/models/ledger.ts';
import { readTask } from '#shared/db/tasks/read.ts';
import { createTurnWriter, type NewStep } from '#shared/db/turns/write.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import { addUsage, noUsage, usageExtension, type ModelUsage } from '#shared/domain/usage.ts';
import { usageCommand } from '#services/admin/usage.ts';
import { caller, claimedTask } from '../../support/database/new-task.ts';
import { beforeStop, testDatabase } from '../../support/database/postgres.ts';
import { connect } from '../../support/webhooks/webhooks.ts';

const database = await testDatabase();
const db = connect(database.url);
beforeStop(() => db.destroy().then(() => database.close()));

const write = createTurnWriter(db, { wakeupGraceSeconds: 10 });
const spentToday = createSpendReader(db);
const today = new Date().toISOString().slice(0, 10);
const ever = { since: '2000-01-01', until: '2999-12-31' };

function used(model: string, cost?: number): ModelUsage {
  const tokens = { prompt: 100, cached: 40, tool: 10, thoughts: 5, output: 20 };
  return { model, tokens, ...(cost !== undefined && { cost }) };
}

function step(occurrence: number, usage?: ModelUsage): NewStep {
  const place = { name: 'model', occurrence, position: occurrence, inputHash: null };
  return { ...place, output: '1', ...(usage && { usage }) };
}

test('a step is counted when it is first recorded: repeats, zombies and steps without a model add nothing', async () => {
  const { lease } = await claimedTask(db, { owner: 'once' });
  const usage = used('gemini-a', 0.5);
  const taskUsage = addUsage(noUsage, usage);
  await write({ lease, steps: [step(0, usage)], taskUsage });
  await write({ lease, steps: [step(0, usage)], taskUsage });
  await write({ lease, steps: [step(1)] });
  const zombie = { ...lease, fence: lease.fence - 1 };
  await assert.rejects(write({ lease: zombie, steps: [step(2, usage)], taskUsage: noUsage }), LeaseLostError);
  assert.deepEqual(await readLedger(db, ['owner', 'day', 'model'], { ...ever, owner: 'once' }), [
    {
      tenant: '',
      owner: 'once',
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
  // The cached ones are among those of the prompt.
  assert.deepEqual(await spentToday({ tenant: '', owner: 'once' }), { tokens: 135, cost: 0.5 });
  const read = await readTask(db, { tenant: '', owner: 'once' }, lease.taskId);
  assert.deepEqual(read?.task.metadata, {
    [usageExtension]: { calls: 1, tokens: usage.tokens, cost: 0.5, unpriced: 0 },
  });
  await write({ lease, finish: { kind: 'release', delaySeconds: 0, countAttempt: false, error: null } });
  const again = await createClaim(db, { worker: 'w2', leaseSeconds: 30, wakeupGraceSeconds: 10 })(
    lease.taskId,
  );
  if (again.kind !== 'claimed') assert.fail(again.kind);
  assert.deepEqual(again.stored.usage, taskUsage);
});

test('two workers and many owners at once: sets that touch the same rows add up and wait for none', async () => {
  const owners = ['p', 'q', 'r', 's'];
  const tasks = await Promise.all(
    Array.from({ length: 40 }, (_, index) => claimedTask(db, { owner: owners[index % 4] ?? '' })),
  );
  const other = createTurnWriter(db, { wakeupGraceSeconds: 10 });
  await Promise.all(
    tasks.flatMap(({ lease }, index) => {
      const writeOne = index % 2 === 0 ? write : other;
      return [0, 1, 2, 3, 4].map((occurrence) =>
        writeOne({
          lease,
          steps: [step(occurrence, used(occurrence % 2 === 0 ? 'gemini-a' : 'gemini-b', 1))],
        }),
      );
    }),
  );
  const lines = await readLedger(db, ['owner', 'model'], ever);
  for (const owner of owners) {
    const calls = (model: string) => lines.find((one) => one.owner === owner && one.model === model)?.calls;
    assert.deepEqual([calls('gemini-a'), calls('gemini-b')], [30, 20]);
  }
  assert.deepEqual(await Promise.all(owners.map((owner) => spentToday({ tenant: '', owner }))), [
    { tokens: 50 * 135, cost: 50 },
    { tokens: 50 * 135, cost: 50 },
    { tokens: 50 * 135, cost: 50 },
    { tokens: 50 * 135, cost: 50 },
  ]);
});

test('by day; without a price; of a tenant; and forgotten with its owner', async () => {
  const { lease } = await claimedTask(db, { tenant: 't', owner: 'ada' });
  await write({ lease, steps: [step(0, used('gemini-a'))] });
  await db.updateTable('ledger').set({ day: '2026-01-31' }).where('tenant', '=', 't').execute();
  await write({ lease, steps: [step(1, used('gemini-a'))] });
  const days = async (since: string, until: string) =>
    (await readLedger(db, ['day'], { since, until, tenant: 't' })).map(({ day, calls }) => [day, calls]);
  assert.deepEqual(await days('2026-01-01', '2026-01-31'), [['2026-01-31', 1]]);
  assert.deepEqual(await days('2026-02-01', today), [[today, 1]]);
  assert.deepEqual(await spentToday({ tenant: 't', owner: 'ada' }), { tokens: 135, cost: 0 });
  assert.equal((await readLedger(db, ['model'], { ...ever, tenant: 't' }))[0]?.unpriced, 2);
  assert.deepEqual(await spentToday(caller), { tokens: 0, cost: 0 }, 'the same name in another tenant');
  await deleteLedgerOfOwner(db, { tenant: 't', owner: 'ada' });
  assert.deepEqual(await readLedger(db, ['owner'], { ...ever, tenant: 't' }), []);
});

test('admin usage: a table with its sum, JSON, and a word on wrong arguments', async () => {
  const { lease } = await claimedTask(db, { tenant: 't', owner: 'shown' });
  await write({ lease, steps: [step(0, used('gemini-a', 0.25)), step(1, used('gemini-b'))] });
  const run = async (...args: string[]) => {
    const lines: string[] = [];
    await usageCommand.run({
      db,
      env: {},
      args: [...args, '--owner', 'shown'],
      print: (line) => lines.push(line),
    });
    return lines;
  };
  assert.deepEqual(await run('--by', 'owner,model'), [
    'owner    model     calls  prompt  cached  tool  thoughts  output    cost',
    't/shown  gemini-a      1     100      40    10         5      20  0.2500',
    't/shown  gemini-b      1     100      40    10         5      20  0.0000',
    '                       2     200      80    20        10      40  0.2500',
    '\nThe cost does not include 1 calls of models without a price.',
  ]);
  const [json = ''] = await run('--json', '--by', 'day');
  assert.deepEqual(
    (JSON.parse(json) as { day: string; calls: number }[]).map(({ day, calls }) => [day, calls]),
    [[today, 2]],
  );
  assert.deepEqual(await run('--until', '2026-01-01', '--since', '2025-12-01', '--json'), ['[]']);
  for (const bad of [
    ['--by', 'task'],
    ['--by', 'day,day'],
    ['--since', '2026-02-30'],
    ['--since', '2026-11-02', '--until', '2026-11-01'],
    ['x'],
  ]) {
    await assert.rejects(run(...bad), /usage expects --since and --until/);
  }
});
