import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toContextKey } from '#shared/db/tasks/context-key.ts';
import { uuidv7 } from '#shared/domain/ids.ts';

const caller = { tenant: '', owner: 'ada' };
const at = 1_796_000_000_000;

test('contexts of the same minute have neighbouring keys', () => {
  const keys = Array.from({ length: 50 }, (_, second) =>
    toContextKey({ ...caller, contextId: uuidv7(at + second * 10) }),
  );
  assert.equal(new Set(keys.map((key) => key.slice(0, 8))).size, 1);
  assert.equal(new Set(keys.map((key) => key.slice(8))).size, keys.length);
});

test('the key of a context depends on its owner, its tenant and its whole id', () => {
  for (const contextId of [uuidv7(at), 'a conversation', '0196a3c2-0000-7000-8000']) {
    const contexts = [
      { ...caller, contextId },
      { ...caller, owner: 'bob', contextId },
      { ...caller, tenant: 'red', contextId },
      { ...caller, contextId: `${contextId.slice(0, -1)}x` },
    ];
    const keys = contexts.map((context) => toContextKey(context).slice(8));
    assert.equal(new Set(keys).size, contexts.length, contextId);
    for (const key of keys) assert.match(key, /^[0-9a-f]{24}$/);
  }
});
