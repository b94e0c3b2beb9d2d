import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type * as Ids from '#shared/domain/ids.ts';
import { getUuidTime, isUuid, uuidv7 } from '#shared/domain/ids.ts';

describe('uuidv7', () => {
  const now = Date.UTC(2026, 10, 30);

  test('has the version and the variant of RFC 9562, and the given time', () => {
    for (const time of [0, now, 2 ** 48 - 1, now]) {
      const id = uuidv7(time);
      assert.match(id, /^.{14}7.{4}[89ab]/);
      assert.ok(isUuid(id), id);
      assert.equal(getUuidTime(id), time);
    }
  });

  test('returns different ids of one millisecond, with every random digit', () => {
    const ids = Array.from({ length: 5_000 }, () => uuidv7(now));
    assert.equal(new Set(ids).size, ids.length);
    for (const at of [15, 16, 17, 20, 21, 22, 24, 35]) {
      assert.equal(new Set(ids.map((id) => id[at])).size, 16, `digit ${at}`);
    }
    assert.equal(new Set(ids.map((id) => id[19])).size, 4);
  });

  test('are made without anything that browsers lack', async () => {
    const { Buffer } = globalThis;
    Reflect.deleteProperty(globalThis, 'Buffer');
    try {
      const url = `${import.meta.resolve('#shared/domain/ids.ts')}?browser`;
      const browser = (await import(url)) as typeof Ids;
      assert.ok(isUuid(browser.uuidv7()));
    } finally {
      globalThis.Buffer = Buffer;
    }
  });
});
