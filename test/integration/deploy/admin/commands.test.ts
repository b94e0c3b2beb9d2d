/** The commands of `npm run admin`. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { sql } from 'kysely';
import { createEncryptor, parseEncryptionKeys, type Encryptor } from '#shared/crypto/encryption.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { putWebhookConfig } from '#shared/db/webhooks/configs.ts';
import { checkEncryptionKeys } from '#shared/db/webhooks/encryption-check.ts';
import { setSigningSecret } from '#shared/db/webhooks/deliveries.ts';
import { writeLocalStack } from '#shared/runtime/config/local-stack.ts';
import { createSigningSecret, decryptSecrets, encryptSecrets } from '#shared/webhooks/secrets.ts';
import { runAdmin } from '../../../support/clients/admin.ts';
import { createTestDatabase, openTestPool } from '../../../support/database/postgres.ts';
import { runNode } from '../../../support/processes/processes.ts';
import { createTempDir } from '../../../support/temp-dir.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { startDispatchers } from '../../../support/webhooks/dispatchers.ts';
import { startReceiver } from '../../../support/webhooks/receiver.ts';
import { caller, startTask, webhookTo } from '../../../support/webhooks/webhooks.ts';

const timeout = 60_000;

async function openDatabase(t: TestContext) {
  const { url, close } = await createTestDatabase();
  const { db } = openTestPool(url);
  t.after(() => db.destroy().then(() => close()));
  return { db, url };
}

test('lists the commands for an unknown command, with exit status 2', async () => {
  for (const args of [[], ['nonsense'], ['toString']]) {
    const { code, output } = await runAdmin({}, ...args);
    assert.equal(code, 2);
    assert.match(output, /webhooks .*failure rates/);
    assert.match(output, /reencrypt .*first of ENCRYPTION_KEYS/);
  }
});

test('uses the database of npm start unless the environment names one', { timeout }, async (t) => {
  const { url } = await openDatabase(t);
  const DATA_DIR = createTempDir(t);
  const found = async (env: Record<string, string>) =>
    (await runNode(t, ['services/admin/main.ts', 'usage'], { env: { DATA_DIR, ...env } }).exited).code;
  assert.equal(await found({}), 78);
  writeLocalStack(DATA_DIR, { DATABASE_URL: url, ENCRYPTION_KEYS: 'k', OTHER: 'not for commands' });
  assert.deepEqual([await found({}), await found({ DATABASE_URL: 'postgres://127.0.0.1:1/x' })], [0, 1]);
  const [file] = readdirSync(DATA_DIR);
  assert.equal(statSync(path.join(DATA_DIR, file!)).mode & 0o777, 0o600);
});

test('stops the Auth Proxy of its job at the end, even if the command fails', async (t) => {
  const { url } = await openDatabase(t);
  const proxy = await startReceiver(t);
  const env = { DATABASE_URL: url, AUTH_PROXY_QUIT_URL: proxy.url };
  for (const [args, code] of [
    [['versions'], 0],
    [['outcomes', '--minutes', 'many'], 1],
  ] as const)
    assert.equal((await runAdmin(env, ...args)).code, code);
  assert.equal(proxy.received.length, 2);
  const gone = await runAdmin({ ...env, AUTH_PROXY_QUIT_URL: 'http://127.0.0.1:1/' }, 'versions');
  assert.match(gone.output, /the Auth Proxy was not stopped/);
});

describe('webhooks', () => {
  test('reports pending deliveries and failing hosts', { timeout }, async (t) => {
    const { db, url } = await openDatabase(t);
    const [good, bad] = [await startReceiver(t), await startReceiver(t)];
    bad.answerBy(() => 500);
    const { outbox } = await startDispatchers(t, db, 1, { schedule: [0, 0.01, 100] });
    const delivered = await startTask(db, outbox, webhookTo(good.url));
    await delivered.claim();
    const pending = await startTask(db, outbox, webhookTo(bad.url));
    await good.count(2);
    await bad.count(2);
    await db
      .updateTable('deliveries')
      .set({ created_at: new Date(Date.now() - 60_000) })
      .where('task_id', '=', pending.taskId)
      .execute();
    const env = { DATABASE_URL: url };
    const readStats = async () => JSON.parse((await runAdmin(env, 'webhooks', '--json')).output);
    await waitFor('one pending delivery', async () => (await readStats()).pending === 1);
    const { oldestPendingSeconds, disabledConfigs, hosts } = await readStats();
    assert.ok(oldestPendingSeconds >= 60 && oldestPendingSeconds < 120);
    assert.equal(disabledConfigs, 0);
    assert.deepEqual(
      hosts.map(({ host, attempts, failed }: Record<string, unknown>) => [host, attempts, failed]),
      [
        [new URL(bad.url).host, 2, 2],
        [new URL(good.url).host, 2, 0],
      ],
    );
    const { output } = await runAdmin(env, 'webhooks');
    assert.match(output, /pending deliveries +1\n/);
    assert.match(output, new RegExp(`${new URL(bad.url).host} +2 +2 +100\\.0%`));
  });

  test('rejects an invalid number of hours', { timeout }, async (t) => {
    const { url } = await openDatabase(t);
    const { code, output } = await runAdmin({ DATABASE_URL: url }, 'webhooks', '--hours', 'x');
    assert.equal(code, 1);
    assert.match(output, /--hours/);
  });
});

const createKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;

describe('reencrypt', () => {
  const [old, next] = [createKey('old'), createKey('next')];
  const oldEncryptor = createEncryptor(parseEncryptionKeys(old).keys);
  const nextEncryptor = createEncryptor(parseEncryptionKeys(next).keys);

  async function createConfig(db: Db, taskId: string, id: string, encryptor?: Encryptor) {
    const secrets = {
      token: 't',
      authScheme: 'Bearer',
      authCredentials: 'c',
      signingSecret: createSigningSecret(),
    };
    const config = webhookTo('https://example.com/', encryptor === undefined ? { id } : { id, ...secrets });
    const row = encryptor === undefined ? config : encryptSecrets(encryptor, taskId, config);
    await putWebhookConfig(db, { wakeupGraceSeconds: 1, webhookRequestsPerMinute: 0 }, caller, taskId, row);
    return secrets;
  }

  test('encrypts every secret with the first key', { timeout }, async (t) => {
    const { db, url } = await openDatabase(t);
    const { taskId } = await startTask(db, undefined);
    const rotated = await createConfig(db, taskId, 'a', oldEncryptor);
    const current = await createConfig(db, taskId, 'b', nextEncryptor);
    await createConfig(db, taskId, 'without-secrets');
    const newSecret = createSigningSecret();
    const context = { taskId, configId: 'a', column: 'signing_secret' };
    await setSigningSecret(
      db,
      caller,
      { taskId, configId: 'a' },
      { encrypted: oldEncryptor.encrypt(newSecret, context), overlapSeconds: 60 },
    );

    const env = { DATABASE_URL: url, ENCRYPTION_KEYS: `${next},${old}` };
    const first = await runAdmin(env, 'reencrypt');
    assert.equal(first.code, 0, first.output);
    assert.match(first.output, /re-encrypted 1 webhooks with the key "next"/);

    const rows = await db.selectFrom('webhook_configs').selectAll().orderBy('id').execute();
    const decrypted = rows.slice(0, 2).map((row) =>
      decryptSecrets(nextEncryptor, taskId, {
        id: row.id,
        token: row.token,
        authCredentials: row.auth_credentials,
        signingSecret: row.signing_secret,
        previousSecret: row.previous_secret,
      }),
    );
    for (const { token, authCredentials } of decrypted) {
      assert.deepEqual([token, authCredentials], ['t', 'c']);
    }
    assert.deepEqual(
      decrypted.map(({ signingSecret, previousSecret }) => [signingSecret, previousSecret]),
      [
        [newSecret, rotated.signingSecret],
        [current.signingSecret, null],
      ],
    );
    const second = await runAdmin(env, 'reencrypt');
    assert.match(second.output, /re-encrypted 0 webhooks/);
  });

  test('reports the secrets that it cannot decrypt and continues', { timeout }, async (t) => {
    const { db, url } = await openDatabase(t);
    const { taskId } = await startTask(db, undefined);
    await createConfig(db, taskId, 'a', oldEncryptor);
    await createConfig(db, taskId, 'c', createEncryptor(parseEncryptionKeys(createKey('lost')).keys));
    const env = { DATABASE_URL: url, ENCRYPTION_KEYS: `${next},${old}` };
    const { code, output } = await runAdmin(env, 'reencrypt');
    assert.equal(code, 1);
    assert.match(output, /re-encrypted 1 webhooks with the key "next"/);
    assert.match(output, new RegExp(`1 webhooks could not be decrypted.*\\n  ${taskId} c: .*"lost"`));
  });
});

describe('drop-secrets', () => {
  test('lets services start again after the encryption key was lost', { timeout }, async (t) => {
    const { db, url } = await openDatabase(t);
    const { taskId } = await startTask(db, undefined);
    const [before, after] = [createKey('local'), createKey('local')];
    const check = (key: string) =>
      checkEncryptionKeys(db, createEncryptor(parseEncryptionKeys(key).keys), 'local');
    const config = webhookTo('https://example.com/', { id: 'a', signingSecret: createSigningSecret() });
    const encryptor = createEncryptor(parseEncryptionKeys(before).keys);
    const options = { wakeupGraceSeconds: 1, webhookRequestsPerMinute: 0 };

    await check(after);
    await check(before); // Nothing was encrypted with the first key.
    await putWebhookConfig(db, options, caller, taskId, encryptSecrets(encryptor, taskId, config));
    await check(before);
    await assert.rejects(check(after), /different key of the id "local".*Restore that key.*drop-secrets/);

    const env = { DATABASE_URL: url, ENCRYPTION_KEYS: after };
    const unconfirmed = await runAdmin(env, 'drop-secrets');
    assert.equal(unconfirmed.code, 1);
    const { output } = await runAdmin(env, 'drop-secrets', '--yes');
    assert.match(output, /removed the secrets of 1 webhooks/);
    await check(after);
    const row = await db.selectFrom('webhook_configs').selectAll().executeTakeFirstOrThrow();
    assert.deepEqual([row.signing_secret, row.disabled_at instanceof Date], [null, true]);
    assert.match(row.disabled_reason ?? '', /encryption key was lost/);
  });
});

describe('forget', () => {
  test('deletes everything of one caller and nothing of others', { timeout }, async (t) => {
    const { db, url } = await openDatabase(t);
    const { outbox } = await startDispatchers(t, db, 1);
    const own = await startTask(db, outbox);
    const other = await startTask(db, outbox);
    await db.updateTable('tasks').set({ owner: 'eve' }).where('id', '=', other.taskId).execute();
    for (const owner of [caller.owner, 'eve']) {
      await sql`insert into owner_usage (owner, bytes) values (${owner}, 1)
        on conflict (owner) do nothing`.execute(db);
      await sql`insert into webhook_usage (owner, hour, bytes) values (${owner}, now(), 1)`.execute(db);
      await sql`insert into webhook_requests (owner, at) values (${owner}, now())
        on conflict (owner) do nothing`.execute(db);
      await sql`insert into turn_queues (owner, wake_at) values (${owner}, now())
        on conflict (owner) do nothing`.execute(db);
      await sql`insert into owner_limits (owner, limits) values (${owner}, '{}')`.execute(db);
    }
    const args = ['forget', '--owner', caller.owner, '--tenant', caller.tenant, '--yes'];
    const { code, output } = await runAdmin({ DATABASE_URL: url }, ...args);
    assert.equal(code, 0);
    assert.match(output, /deleted 1 tasks/);
    for (const table of ['gates', 'events', 'messages'] as const) {
      const remaining = await db.selectFrom(table).select('task_id').distinct().execute();
      assert.deepEqual(remaining, [{ task_id: other.taskId }]);
    }
    assert.notEqual(own.taskId, other.taskId);
    for (const table of ['owner_usage', 'webhook_usage', 'webhook_requests', 'turn_queues'] as const) {
      const owners = await db.selectFrom(table).select('owner').distinct().execute();
      assert.deepEqual(owners, [{ owner: 'eve' }], table);
    }
    assert.equal((await db.selectFrom('owner_limits').select('owner').execute()).length, 2);
  });

  test('says so when no owner of that name has tasks', { timeout }, async (t) => {
    const { db, url } = await openDatabase(t);
    const { taskId } = await startTask(db, undefined);
    const { code, output } = await runAdmin({ DATABASE_URL: url }, 'forget', '--owner', 'unknown', '--yes');
    assert.equal(code, 0);
    assert.match(output, /nothing to delete: there are no tasks or schedules of unknown .*are stored as/);
    assert.deepEqual(await db.selectFrom('tasks').select('id').execute(), [{ id: taskId }]);
  });

  test('deletes nothing without --yes', { timeout }, async (t) => {
    const { db, url } = await openDatabase(t);
    const { taskId } = await startTask(db, undefined);
    const { code } = await runAdmin({ DATABASE_URL: url }, 'forget', '--owner', caller.owner);
    assert.equal(code, 1);
    assert.deepEqual(await db.selectFrom('tasks').select('id').execute(), [{ id: taskId }]);
  });
});
