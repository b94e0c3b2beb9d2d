import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { createCloudRunIam } from '#services/api/auth/cloud-run-iam.ts';
import { createDatabaseClock, databaseClock } from '#shared/runtime/clock.ts';

/** Logs and commands have the time of their machine, ids of messages need no exact one, and HTTP dates go with those of Node. */
const ownClock =
  /^(shared\/(runtime\/(clock|log)|db\/client\/clock-readings|domain\/ids)|services\/(local|admin|cli)\/.*|services\/api\/http\/static-document)\.ts$/;

const hourMs = 3_600_000;

/** A reading that took `tookMs`, of a database whose clock is `aheadMs` ahead of this process. */
function read(aheadMs: number, tookMs = 0) {
  const receivedAt = performance.now();
  return { time: Date.now() + aheadMs - tookMs / 2, sentAt: receivedAt - tookMs, receivedAt };
}

describe('the clock of the database', () => {
  test('is that of the process until it was read', () => {
    const clock = createDatabaseClock();
    assert.ok(Math.abs(clock.now() - Date.now()) < 1_000);
  });

  test('counts on between two readings', () => {
    const clock = createDatabaseClock();
    clock.observe(read(3 * hourMs));
    assert.ok(Math.abs(clock.now() - Date.now() - 3 * hourMs) < 1_000);
  });

  test('is never ahead, even if a reading takes long', () => {
    const clock = createDatabaseClock();
    clock.observe(read(hourMs, 4_000));
    assert.ok(clock.now() <= Date.now() + hourMs - 1_990);
  });

  test('keeps a fast reading when a slow one agrees with it', () => {
    const clock = createDatabaseClock();
    clock.observe(read(hourMs));
    clock.observe(read(hourMs, 4_000));
    assert.ok(clock.now() > Date.now() + hourMs - 1_000);
  });

  test('follows a database whose clock is set back', () => {
    const clock = createDatabaseClock();
    clock.observe(read(hourMs));
    clock.observe(read(-hourMs));
    assert.ok(Math.abs(clock.now() - Date.now() + hourMs) < 1_000);
  });

  test('gives all times that are stored, compared or sent', () => {
    const files = globSync('{shared,services}/**/*.ts').map((file) => file.replaceAll('\\', '/'));
    const ownTimes = files.filter((file) => /Date\.now\(\)|new Date\(\)/.test(readFileSync(file, 'utf8')));
    assert.deepEqual(
      ownTimes.filter((file) => !ownClock.test(file)),
      [],
      'use databaseNow() of shared/runtime/clock.ts',
    );
  });

  test('decides whether a token has expired', (t) => {
    t.after(() => databaseClock.observe(read(0)));
    const claims = { iss: 'https://accounts.google.com', aud: 'a', sub: 's', exp: Date.now() / 1000 + 600 };
    const token = `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.SIGNATURE_REMOVED_BY_GOOGLE`;
    const verify = createCloudRunIam(['a']);
    const headers = { authorization: `Bearer ${token}` };
    verify(headers);
    databaseClock.observe(read(hourMs));
    assert.throws(() => verify(headers), /has expired/);
  });
});
