/** The database address, from the variables that Cloud Run and AlloyDB provide. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readMigrateConfig } from '#shared/runtime/config/operator.ts';
import { ConfigError, type Environment } from '#shared/runtime/config/env-reader.ts';
import { writeTempFile } from '../../support/temp-dir.ts';

const readAddress = (env: Environment) => readMigrateConfig(env).address;

function readProblems(env: Environment): string {
  try {
    readAddress(env);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.join('\n');
  }
  return '';
}

describe('valid addresses', () => {
  test('keeps DATABASE_URL with its TLS parameters', () => {
    const url = 'postgres://u:p@10.0.0.2/longhaul?sslmode=require';
    assert.deepEqual(readAddress({ DATABASE_URL: url }), { url });
  });

  test('builds an encrypted address from parts, with any characters in the password', () => {
    const parts = { DATABASE_HOST: '10.0.0.2', ALLOY_DB_USER: 'app', ALLOY_DB_PASS: 'a/b@c:d %?' };
    const address = readAddress(parts);
    assert.equal(decodeURIComponent(new URL(address.url).password), 'a/b@c:d %?');
    assert.equal(new URL(address.url).host, '10.0.0.2:5432');
    assert.equal(new URL(address.url).pathname, '/longhaul');
    assert.deepEqual(address.ssl, { mode: 'require' });
  });

  test('reads user and password from the files that Cloud Run mounts', (t) => {
    const address = readAddress({
      DATABASE_HOST: '10.0.0.2',
      ALLOY_DB_USER_FILE: writeTempFile(t, 'user', 'app\n'),
      ALLOY_DB_PASS_FILE: writeTempFile(t, 'pass', 'secret\n'),
    });
    assert.equal(address.url, 'postgres://app:secret@10.0.0.2:5432/longhaul');
  });

  test('combines IAM, without a password, and verify-ca, with an authority', (t) => {
    const ca = '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----';
    const address = readAddress({
      DATABASE_HOST: '10.0.0.2',
      ALLOY_DB_USER: 'longhaul-api@p.iam',
      DATABASE_AUTH: 'iam',
      DATABASE_SSL: 'verify-ca',
      DATABASE_SSL_CA_FILE: writeTempFile(t, 'ca.pem', ca),
    });
    assert.deepEqual(address, {
      url: 'postgres://longhaul-api%40p.iam@10.0.0.2:5432/longhaul',
      iam: true,
      ssl: { mode: 'verify-ca', ca },
    });
  });

  test('verifies the server as soon as an authority is set, as psql does', () => {
    const ca = '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----';
    const parts = { DATABASE_HOST: 'h', ALLOY_DB_USER: 'u', ALLOY_DB_PASS: 'p', DATABASE_SSL: 'require' };
    assert.deepEqual(readAddress(parts).ssl, { mode: 'require' });
    assert.deepEqual(readAddress({ ...parts, DATABASE_SSL_CA: ca }).ssl, { mode: 'verify-ca', ca });
    assert.match(readProblems({ ...parts, DATABASE_SSL_CA: 'x' }), /DATABASE_SSL=require needs a PEM/);
  });

  test('allows IAM without encryption on the local machine', () => {
    assert.equal(readProblems({ DATABASE_AUTH: 'iam', DATABASE_URL: 'postgres://u@127.0.0.1/d' }), '');
  });
});

describe('invalid addresses', () => {
  test('reports an address that is missing or given twice', () => {
    assert.match(readProblems({}), /neither DATABASE_URL nor DATABASE_HOST is set/);
    assert.match(readProblems({ DATABASE_URL: 'postgres://h/d', DATABASE_HOST: 'h' }), /both set/);
  });

  test('rejects another protocol without showing the password', () => {
    const problems = readProblems({ DATABASE_URL: 'mysql://u:hidden@h/d' });
    assert.match(problems, /must be a URL that starts with postgres/);
    assert.doesNotMatch(problems, /hidden/);
  });

  test('reports all problems together, by name', () => {
    const many = readProblems({
      DATABASE_HOST: 'h',
      DATABASE_SSL: 'verify-ca',
      ALLOY_DB_PASS_FILE: '/nowhere',
    });
    assert.match(many, /neither ALLOY_DB_USER nor ALLOY_DB_USER_FILE is set/);
    assert.match(many, /ALLOY_DB_PASS_FILE must be the path of a readable file, not "\/nowhere" \(ENOENT\)/);
    assert.match(many, /DATABASE_SSL_CA/);
  });

  test('rejects IAM over an unencrypted network', () => {
    const env = { DATABASE_AUTH: 'iam', DATABASE_URL: 'postgres://u@10.0.0.2/d' };
    assert.match(readProblems(env), /DATABASE_AUTH=iam sends a token: DATABASE_SSL must be/);
  });

  test('rejects IAM with a password', () => {
    const env = { DATABASE_AUTH: 'iam', DATABASE_URL: 'postgres://u:p@127.0.0.1/d' };
    assert.match(readProblems(env), /remove the password/);
  });
});
