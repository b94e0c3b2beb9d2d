/** `npm run admin -- limits`. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import type { Db } from '#shared/db/client/pool.ts';
import { addOwnerUsage } from '#shared/db/owners/usage.ts';
import { addSentBytes, getHour } from '#shared/db/webhooks/usage.ts';
import { createOwnerLimits } from '#shared/db/owners/limits.ts';
import { readOwnLimits } from '#shared/db/owners/settings.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { runAdmin } from '../../../support/clients/admin.ts';
import { createSuiteCleanup } from '../../../support/cleanup.ts';
import { newTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { noLimits } from '../../../support/services/quotas.ts';
import { createTempDir } from '../../../support/temp-dir.ts';

describe('admin limits', () => {
  const cleanup = createSuiteCleanup();
  let db: Db;
  let url: string;
  before(async () => {
    ({ db, url } = await connectToTestDatabase());
  });

  async function run(...args: string[]): Promise<{ code: number; lines: string[] }> {
    const env = { DATABASE_URL: url, AUTH_MODES: 'api-key', OWNER_MAX_OPEN_TASKS: '10' };
    const { code, output } = await runAdmin(env, 'limits', ...args);
    return { code, lines: output.trimEnd().split('\n') };
  }

  test('sets and removes limits of one owner', async () => {
    await createAccept(db, { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 })(
      newTask({ owner: 'key:a' }),
    );
    const set = await run('set', 'key:a', 'openTasks=5', 'storedBytes=1.5GiB', 'modelCostPerDay=0.5');
    assert.deepEqual(set.lines, [
      '+ key:a openTasks 5',
      '+ key:a storedBytes 1.5 GiB',
      '+ key:a modelCostPerDay 0.5',
    ]);
    assert.deepEqual((await readOwnLimits(db)).get('key:a'), {
      openTasks: 5,
      storedBytes: 1.5 * 1024 ** 3,
      modelCostPerDay: 0.5,
    });
    assert.deepEqual((await run('set', 'key:a', 'openTasks=0')).lines, ['~ key:a openTasks 5 -> none']);
    assert.deepEqual((await run('set', 'key:a', 'openTasks=0')).lines, ['no changes']);
    assert.deepEqual((await run('unset', 'key:a', 'storedBytes')).lines, ['- key:a storedBytes 1.5 GiB']);
    assert.equal((await run('unset', 'key:a')).code, 0);
    assert.equal((await readOwnLimits(db)).get('key:a'), undefined);
    const unknown = await run('set', 'key:alicia', 'openTasks=1', '--dry-run');
    assert.deepEqual(unknown.lines, [
      '+ key:alicia openTasks 1',
      'dry run: nothing was changed',
      'key:alicia has no tasks yet: check the name',
    ]);
    assert.equal((await readOwnLimits(db)).get('key:alicia'), undefined);
  });

  test('says what it expects', async () => {
    const cases: [string[], RegExp][] = [
      [['nonsense'], /expects one of list, set, unset, apply, recount, not nonsense/],
      [['set', 'key:a'], /expects an owner and limits, such as: set key:alice openTasks=500/],
      [
        ['set', 'alice', 'openTasks=1'],
        /no caller has the name alice \(expected key:NAME or ISSUER\|SUBJECT/,
      ],
      [['set', 'key:a', 'tasks=1'], /tasks is not a limit \(expected openTasks, /],
      [['set', 'key:a', 'openTasks=1GiB'], /openTasks must be a whole number from 0, not "1GiB"/],
      [['set', 'key:a', 'storedBytes=-1'], /storedBytes must be a number of bytes from 0, such as/],
      [['apply', '/nowhere'], /\/nowhere cannot be read/],
      [['apply', '/nowhere', '--text=owners: {}'], /apply expects one file, or its text as --text/],
      [['apply', '--text=owner: {}'], /--text:1:1: .*owner/],
      [['--wrong'], /Unknown option '--wrong'/],
    ];
    const answers = await Promise.all(cases.map(([args]) => run(...args)));
    for (const [index, { code, lines }] of answers.entries()) {
      assert.equal(code, 1);
      assert.match(lines.join('\n'), cases[index]![1]);
    }
  });

  test('applies a file as the whole state, and reports what changes', async () => {
    const file = path.join(createTempDir(cleanup), 'limits.yaml');
    writeFileSync(
      file,
      'owners:\n  key:b: { openTasks: 1, storedBytes: 2 MiB }\n  https://issuer.example|x y: { modelCostPerDay: 2.5 }\n',
    );
    const expected = [
      '+ https://issuer.example|x y modelCostPerDay 2.5',
      '+ key:b openTasks 1',
      '+ key:b storedBytes 2 MiB',
    ];
    const hints = ['https://issuer.example|x y', 'key:b'].map(
      (owner) => `${owner} has no tasks yet: check the name`,
    );
    const dry = await run('apply', file, '--dry-run');
    assert.deepEqual(dry.lines, [...expected, 'dry run: nothing was changed', ...hints]);
    assert.equal((await readOwnLimits(db)).has('key:b'), false);
    assert.deepEqual((await run('apply', file)).lines, [...expected, ...hints]);
    assert.deepEqual((await run('apply', file)).lines, ['no changes']);

    writeFileSync(file, JSON.stringify({ owners: { 'key:b': { openTasks: 3 } } }));
    const { changes } = JSON.parse((await run('apply', file, '--json')).lines[0]!);
    assert.deepEqual(changes, [
      { owner: 'https://issuer.example|x y', before: { modelCostPerDay: 2.5 }, after: {} },
      { owner: 'key:b', before: { openTasks: 1, storedBytes: 2_097_152 }, after: { openTasks: 3 } },
    ]);
    assert.deepEqual([...(await readOwnLimits(db))], [['key:b', { openTasks: 3 }]]);
    const limits = await createOwnerLimits(db, noLimits)('key:b');
    assert.deepEqual(limits, { ...noLimits, openTasks: 3 });
  });

  test('refuses a file with problems, each with line and column', async () => {
    const file = path.join(createTempDir(cleanup), 'limits.yaml');
    writeFileSync(file, 'owners:\n  key:c:\n    openTask: 5\n    storedBytes: lots\ndefaults: {}\n');
    const { code, lines } = await run('apply', file);
    assert.equal(code, 1);
    assert.deepEqual(lines, [
      `${file}:3:5: owners.key:c.openTask: unknown field (did you mean "openTasks"?)`,
      `${file}:4:18: owners.key:c.storedBytes: must be a number of bytes from 0, such as 1048576 or 20 GiB`,
      `${file}:5:1: defaults: unknown field (expected one of owners)`,
    ]);
    assert.equal((await readOwnLimits(db)).has('key:c'), false);
    writeFileSync(file, 'owners:\n  key:c: { openTasks: 1 }\n  carol: { openTasks: 1 }\n');
    assert.deepEqual((await run('apply', file)).lines, [
      `${file}:3:3: owners.carol: no caller has this name (expected key:NAME or ISSUER|SUBJECT, or anonymous without authentication)`,
    ]);
    assert.equal((await readOwnLimits(db)).has('key:c'), false);
  });

  test('lists defaults, own limits and owners near a limit', async () => {
    const accept = createAccept(db, { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 10 });
    await Promise.all(Array.from({ length: 8 }, () => accept(newTask({ owner: 'key:near' }))));
    await addOwnerUsage(
      db,
      new Map([
        ['key:near', { bytes: 3_000, webhookConfigs: 0 }],
        ['key:far', { bytes: 2048, webhookConfigs: 3 }],
      ]),
    );
    const hour = getHour(Date.now());
    await addSentBytes(db, [{ owner: 'key:own', hour, bytes: 1024 ** 3 }]);
    await run('set', 'key:own', 'webhookConfigs=7');
    const { lines } = await run();
    assert.equal(lines[0], 'defaults');
    assert.ok(lines.includes('  openTasks            10'));
    assert.ok(lines.includes('  storedBytes          20 GiB'));
    assert.ok(lines.includes('  concurrentTurns      none'));
    const table = lines.slice(lines.indexOf('') + 1).map((line) => line.split(/ {2,}/));
    assert.deepEqual(table[0], ['owner', 'limit', 'used', 'max', 'share', 'set']);
    assert.ok(table.some((row) => row.join() === 'key:near,openTasks,8,10,80%,default'));
    assert.ok(table.some((row) => row.join() === 'key:own,webhookConfigs,0,7,0%,own'));
    assert.ok(!table.some(([owner]) => owner === 'key:far'));
    assert.ok(table.some((row) => row.join() === 'key:own,webhookBytesPerHour,1 GiB,1 GiB,100%,default'));

    const json = JSON.parse((await run('list', '--all', '--json')).lines[0]!);
    assert.equal(json.defaults.openTasks, 10);
    const far = json.owners.find(({ owner }: { owner: string }) => owner === 'key:far');
    assert.deepEqual(far.usage, {
      openTasks: 0,
      storedBytes: 2048,
      webhookConfigs: 3,
      modelCostPerDay: 0,
      concurrentTurns: 0,
      schedules: 0,
      webhookBytesPerHour: 0,
    });
    assert.deepEqual((await run('recount', 'key:far')).lines, ['recounted the stored tasks of 0 owners']);
    const again = await run('--all');
    assert.ok(!again.lines.some((line) => line.startsWith('key:far')));
  });
});
