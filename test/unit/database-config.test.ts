/** The address of the database, from the variables that Cloud Run and AlloyDB give, and what is wrong with them. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { readMigrateConfig } from '#shared/runtime/config/operator.ts';
import { ConfigError, type Environment } from '#shared/runtime/config/env-reader.ts';

const dir = mkdtempSync(path.join(os.tmpdir(), 'longhaul-config-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const addressOf = (env: Environment) => readMigrateConfig(env).address;

function file(name: string, content: string): string {
  const at = path.join(dir, name);
  writeFileSync(at, content);
  return at;
}

function problemsOf(env: Environment): string {
  try {
    addressOf(env);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.join('\n');
  }
  return '';
}

test('a URL stands as it is, and its own parameters decide about TLS', () => {
  const url = 'postgres://u:p@10.0.0.2/longhaul?sslmode=require';
  assert.deepEqual(addressOf({ DATABASE_URL: url }), { url });
});

test('parts make an encrypted address, whatever characters the password has', () => {
  const parts = { DATABASE_HOST: '10.0.0.2', ALLOY_DB_USER: 'app', ALLOY_DB_PASS: 'a/b@c:d %?' };
  const address = addressOf(parts);
  assert.equal(decodeURIComponent(new URL(address.url).password), 'a/b@c:d %?');
  assert.equal(new URL(address.url).host, '10.0.0.2:5432');
  assert.equal(new URL(address.url).pathname, '/longhaul');
  assert.deepEqual(address.ssl, { mode: 'require' });
});

test('user and password are read from the files that Cloud Run mounts', () => {
  const address = addressOf({
    DATABASE_HOST: '10.0.0.2',
    ALLOY_DB_USER_FILE: file('user', 'app\n'),
    ALLOY_DB_PASS_FILE: file('pass', 'secret\n'),
  });
  assert.equal(address.url, 'postgres://app:secret@10.0.0.2:5432/longhaul');
});

test('IAM takes no password, and verify-ca an authority', () => {
  const ca = '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----';
  const address = addressOf({
    DATABASE_HOST: '10.0.0.2',
    ALLOY_DB_USER: 'longhaul-api@p.iam',
    DATABASE_AUTH: 'iam',
    DATABASE_SSL: 'verify-ca',
    DATABASE_SSL_CA_FILE: file('ca.pem', ca),
  });
  assert.deepEqual(address, {
    url: 'postgres://longhaul-api%40p.iam@10.0.0.2:5432/longhaul',
    iam: true,
    ssl: { mode: 'verify-ca', ca },
  });
});

test('what is wrong is told by name, all at once, and without a secret', () => {
  assert.match(problemsOf({}), /DATABASE_URL is not set, and neither is DATABASE_HOST/);
  assert.match(problemsOf({ DATABASE_URL: 'postgres://h/d', DATABASE_HOST: 'h' }), /both set/);
  assert.match(
    problemsOf({ DATABASE_URL: 'mysql://u:hidden@h/d' }),
    /must be a URL that begins with postgres/,
  );
  assert.doesNotMatch(problemsOf({ DATABASE_URL: 'mysql://u:hidden@h/d' }), /hidden/);
  const many = problemsOf({ DATABASE_HOST: 'h', DATABASE_SSL: 'verify-ca', ALLOY_DB_PASS_FILE: '/nowhere' });
  assert.match(many, /ALLOY_DB_USER is not set, and neither is ALLOY_DB_USER_FILE/);
  assert.match(many, /ALLOY_DB_PASS_FILE names a file that cannot be read \(ENOENT\)/);
  assert.match(many, /DATABASE_SSL_CA/);
  const iam = { DATABASE_AUTH: 'iam', DATABASE_URL: 'postgres://u@10.0.0.2/d' };
  assert.match(problemsOf(iam), /DATABASE_AUTH=iam sends a token: set DATABASE_SSL/);
  assert.equal(problemsOf({ ...iam, DATABASE_URL: 'postgres://u@127.0.0.1/d' }), '');
  assert.match(problemsOf({ ...iam, DATABASE_URL: 'postgres://u:p@127.0.0.1/d' }), /leave the password out/);
});
