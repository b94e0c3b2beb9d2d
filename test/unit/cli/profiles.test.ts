/** The file of profiles has keys: only its owner can read it. */
import assert from 'node:assert/strict';
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readProfiles, writeProfiles } from '#services/cli/settings/profiles.ts';
import { createTempDir, writeTempFile } from '../../support/temp-dir.ts';

test('writes profiles that only their owner can read', (t) => {
  const file = path.join(createTempDir(t), 'longhaul', 'profiles.json');
  assert.deepEqual(readProfiles(file), {});
  const profiles = { prod: { url: 'https://agent.example.com', apiKey: 'secret' } };
  writeProfiles(file, profiles);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(readProfiles(file), profiles);
});

test('refuses profiles that others can read', (t) => {
  const file = writeTempFile(t, 'profiles.json', '{}');
  chmodSync(file, 0o640);
  assert.throws(() => readProfiles(file), /other users may read it: run chmod 600/);
});

test('reports what is wrong with a file of profiles', (t) => {
  const file = writeTempFile(t, 'profiles.json', '');
  chmodSync(file, 0o600);
  for (const [content, problem] of [
    ['', /is not JSON: expected/],
    ['"a"', /its content is not valid/],
    ['{"a": {"url": "nowhere"}}', /a\.url is not valid/],
    ['{"a": {"url": "http://x", "key": "y"}}', /a\.key is not valid/],
  ] as const) {
    writeFileSync(file, content);
    assert.throws(() => readProfiles(file), problem);
  }
});
