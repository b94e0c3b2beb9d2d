/** The commands of `npm run admin`, as processes. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { createEncryptor, parseEncryptionKeys } from '#shared/crypto/encryption.ts';
import { putWebhookConfig } from '#shared/db/webhooks/configs.ts';
import { setSigningSecret } from '#shared/db/webhooks/deliveries.ts';
import { makeSigningSecret, decryptSecrets, encryptSecrets } from '#shared/webhooks/secrets.ts';
import { testDatabase } from '../../support/database/postgres.ts';
import { runNode } from '../../support/processes/processes.ts';
import { waitFor } from '../../support/wait-for.ts';
import { startDispatchers } from '../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';
import { caller, connect, startTask, webhookTo } from '../../support/webhooks/webhooks.ts';

const timeout = 60_000;

async function admin(t: TestContext, env: Record<string, string>, ...args: string[]) {
  const running = runNode(t, ['services/admin/main.ts', ...args], { env });
  const { code } = await running.exited;
  return { code, output: running.output() };
}

async function database(t: TestContext) {
  const own = await testDatabase();
  const db = connect(own.url);
  t.after(() => db.destroy().then(() => own.close()));
  return { db, url: own.url };
}

test('commands are listed, and an unknown one is no success', { timeout }, async (t) => {
  for (const args of [[], ['nonsense'], ['toString']]) {
    const { code, output } = await admin(t, {}, ...args);
    assert.equal(code, 2);
    assert.match(output, /webhooks .*failure rates/);
    assert.match(output, /reencrypt .*first of ENCRYPTION_KEYS/);
  }
});

test('webhooks: what waits, and which hosts fail', { timeout }, async (t) => {
  const { db, url } = await database(t);
  const [good, bad] = [await startReceiver(t), await startReceiver(t)];
  bad.answerBy(() => 500);
  const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 0.01, 100] });
  const one = await startTask(db, outbox, webhookTo(good.url));
  await one.claim();
  const other = await startTask(db, outbox, webhookTo(bad.url));
  await good.count(2);
  await bad.count(2);
  await db
    .updateTable('deliveries')
    .set({ created_at: new Date(Date.now() - 60_000) })
    .where('task_id', '=', other.taskId)
    .execute();
  const env = { DATABASE_URL: url };
  const read = async () => JSON.parse((await admin(t, env, 'webhooks', '--json')).output);
  await waitFor('one pending delivery', async () => (await read()).pending === 1);
  const { oldestPendingSeconds, disabledConfigs, hosts } = await read();
  assert.ok(oldestPendingSeconds >= 60 && oldestPendingSeconds < 120);
  assert.equal(disabledConfigs, 0);
  assert.deepEqual(
    hosts.map(({ host, attempts, failed }: Record<string, unknown>) => [host, attempts, failed]),
    [
      [new URL(bad.url).host, 2, 2],
      [new URL(good.url).host, 2, 0],
    ],
  );
  const { output } = await admin(t, env, 'webhooks');
  assert.match(output, /pending deliveries +1\n/);
  assert.match(output, new RegExp(`${new URL(bad.url).host} +2 +2 +100\\.0%`));
  assert.match((await admin(t, env, 'webhooks', '--hours', 'x')).output, /--hours/);
});

test(
  'reencrypt: everything is encrypted with the first key, what cannot be opened is told',
  { timeout },
  async (t) => {
    const { db, url } = await database(t);
    const key = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;
    const [old, next] = [key('old'), key('next')];
    const before = createEncryptor(parseEncryptionKeys(old).keys);
    const after = createEncryptor(parseEncryptionKeys(next).keys);
    const secrets = {
      token: 't',
      authScheme: 'Bearer',
      authCredentials: 'c',
      signingSecret: makeSigningSecret(),
    };
    const hook = webhookTo('https://example.com/', secrets);
    const { taskId } = await startTask(db, undefined);
    const put = (id: string, encryptor: typeof before) =>
      putWebhookConfig(
        db,
        { wakeupGraceSeconds: 1 },
        caller,
        taskId,
        encryptSecrets(encryptor, taskId, { ...hook, id }),
      );
    await put('a', before);
    await put('b', after);
    await put('c', createEncryptor(parseEncryptionKeys(key('lost')).keys));
    await putWebhookConfig(
      db,
      { wakeupGraceSeconds: 1 },
      caller,
      taskId,
      webhookTo('https://example.com/', { id: 'd' }),
    );
    const newer = makeSigningSecret();
    const place = { taskId, configId: 'a', column: 'signing_secret' };
    const overlap = { encrypted: before.encrypt(newer, place), overlapSeconds: 60 };
    await setSigningSecret(db, caller, { taskId, configId: 'a' }, overlap);

    const env = { DATABASE_URL: url, ENCRYPTION_KEYS: `${next},${old}` };
    const { code, output } = await admin(t, env, 'reencrypt');
    assert.match(output, /1 webhooks were encrypted with the key "next"/);
    assert.equal(code, 1);
    assert.match(output, new RegExp(`1 could not be opened.*\\n  ${taskId} c: .*"lost"`));

    const rows = await db.selectFrom('webhook_configs').selectAll().orderBy('id').execute();
    for (const row of rows.slice(0, 2)) {
      const opened = decryptSecrets(after, taskId, {
        id: row.id,
        token: row.token,
        authCredentials: row.auth_credentials,
        signingSecret: row.signing_secret,
        previousSecret: row.previous_secret,
      });
      const rotated = row.id === 'a';
      assert.equal(opened.token, 't');
      assert.equal(opened.authCredentials, 'c');
      assert.equal(opened.signingSecret, rotated ? newer : secrets.signingSecret);
      assert.equal(opened.previousSecret, rotated ? secrets.signingSecret : null);
    }
    assert.match((await admin(t, env, 'reencrypt')).output, /0 webhooks were encrypted/);
  },
);

test('delete-owner: removes all that a caller has, and nothing of others', { timeout }, async (t) => {
  const { db, url } = await database(t);
  const { outbox } = await startDispatchers(t, db, 1);
  const mine = await startTask(db, outbox);
  const other = await startTask(db, outbox);
  await db.updateTable('tasks').set({ owner: 'eve' }).where('id', '=', other.taskId).execute();
  const env = { DATABASE_URL: url };
  assert.equal((await admin(t, env, 'delete-owner', caller.owner)).code, 1, 'not without --yes');
  const { code, output } = await admin(
    t,
    env,
    'delete-owner',
    caller.owner,
    '--tenant',
    caller.tenant,
    '--yes',
  );
  assert.equal(code, 0);
  assert.match(output, /1 tasks/);
  for (const table of ['gates', 'events', 'messages'] as const) {
    const left = await db.selectFrom(table).select('task_id').distinct().execute();
    assert.deepEqual(left, [{ task_id: other.taskId }]);
  }
  assert.notEqual(mine.taskId, other.taskId);
});
