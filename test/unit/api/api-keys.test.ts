/** Entries of API_KEYS, the replacement of keys, and the end of credentials. */
import assert from 'node:assert/strict';
import { describe, mock, test, type TestContext } from 'node:test';
import { requireApiKeys } from '#shared/runtime/config/api-keys.ts';
import { ApiKeys } from '#services/api/auth/api-keys.ts';
import { UnauthenticatedError } from '#services/api/auth/errors.ts';
import { Credential } from '#services/api/auth/credential.ts';
import { sha256 } from '../../support/services/api-keys.ts';

const hash = sha256('a key');

function getProblem(text: string): string {
  try {
    requireApiKeys(text);
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}

describe('entries of API_KEYS', () => {
  test('have a label, an expiry and scopes, all optional', () => {
    const text = `# keys\nada:${hash}\nbob:${sha256('b')}:his laptop expires=2027-01-31 scopes=read+operator\ncarl:${sha256('c')} expires=2027-01-31T18:00:00+01:00`;
    const entries = requireApiKeys(text).map(({ owner, label, scopes, expiresAt }) => [
      owner,
      label,
      [...scopes],
      expiresAt === undefined ? undefined : new Date(expiresAt).toISOString(),
    ]);
    assert.deepEqual(entries, [
      ['ada', undefined, ['read', 'send'], undefined],
      ['bob', 'his laptop', ['read', 'operator'], '2027-01-31T00:00:00.000Z'],
      ['carl', undefined, ['read', 'send'], '2027-01-31T17:00:00.000Z'],
    ]);
  });

  test('are refused by position, without quoting them', () => {
    const wrong: [string, RegExp][] = [
      ['', /at least one entry/],
      ['secret-key', /entry 1 of API_KEYS must be owner:hash/],
      [`ada:${hash},bob:${hash}`, /contains a key twice/],
      [`ada:${hash} expires=tomorrow`, /entry 1 of API_KEYS: expires must be a day/],
      [`ada:${hash} expires=2027-02-31x`, /expires must be a day/],
      [`ada:${hash} expires=2027-01-31T18:00:00`, /with its zone/],
      [`ada:${hash} scopes=`, /scopes must list only read, send, operator/],
      [`ada:${hash} scopes=read+admin`, /scopes must list only/],
      [`ada:${hash} scopes=read scopes=send`, /the option scopes twice/],
      [`ada:${hash} limit=3`, /options must be expires or scopes/],
    ];
    for (const [text, message] of wrong) {
      assert.match(getProblem(text), message, text);
      assert.doesNotMatch(getProblem(text), /secret-key|tomorrow/);
    }
  });
});

describe('API keys that are replaced', () => {
  const find = (keys: ApiKeys, key: string) => keys.find(key).userName;

  test('work at once, and those that are missing no longer do', () => {
    const keys = new ApiKeys(requireApiKeys(`ada:${sha256('old')}`));
    keys.use(requireApiKeys(`ada:${sha256('old')},ada:${sha256('new')}`));
    assert.deepEqual([find(keys, 'old'), find(keys, 'new')], ['key:ada', 'key:ada']);
    keys.use(requireApiKeys(`ada:${sha256('new')}`));
    assert.throws(() => find(keys, 'old'), UnauthenticatedError);
    assert.equal(find(keys, 'new'), 'key:ada');
  });

  test('end the open calls of removed and changed keys only', () => {
    const text = (scopes: string): string =>
      `ada:${sha256('same')}:a,bob:${sha256('changed')} scopes=${scopes},carl:${sha256('removed')}`;
    const keys = new ApiKeys(requireApiKeys(text('read+send')));
    const ended: string[] = [];
    for (const key of ['same', 'changed', 'removed']) {
      keys.find(key).credential?.hold(() => ended.push(key));
    }
    const { credential } = keys.find('removed');
    keys.use(
      requireApiKeys(
        text('read')
          .replace(/,carl.*/, '')
          .replace(':a,', ':another label,'),
      ),
    );
    assert.deepEqual(ended, ['changed', 'removed']);
    assert.throws(() => credential?.check(), /revoked or changed/);
  });
});

describe('a credential', () => {
  function startClock(t: TestContext): void {
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 });
    t.after(() => mock.timers.reset());
  }

  test('ends the calls that it holds open when it expires', (t) => {
    startClock(t);
    const credential = new Credential(1_000_000 + 3_600_000 * 3, 'it has expired');
    let [held, released] = [0, 0];
    credential.hold(() => (held += 1));
    credential.hold(() => (released += 1))();
    mock.timers.tick(3_600_000 * 3 - 1);
    credential.check();
    assert.equal(held, 0);
    mock.timers.tick(1);
    assert.deepEqual([held, released], [1, 0]);
    assert.throws(() => credential.check(), /it has expired/);
  });

  test('without an expiry ends only when it is ended', (t) => {
    startClock(t);
    const credential = new Credential(undefined, '');
    mock.timers.tick(1e12);
    credential.check();
    credential.end('revoked');
    assert.throws(() => credential.check(), /revoked/);
  });
});
