/** Output of agents that is too large: what becomes a file, and what fails. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Part } from '#shared/domain/message.ts';
import { maxInlineBytes } from '#shared/domain/sizes.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { createTextFileReader } from '#services/worker/agent/gemini/conversation/text-files.ts';
import type { HeldLease } from '#services/worker/turn/lease-heartbeat.ts';
import { createArtifactBudget } from '#services/worker/turn/output/artifact-budget.ts';
import { createTurnFiles } from '#services/worker/turn/output/files.ts';
import type { OutputPace } from '#services/worker/turn/output/pace.ts';
import { StreamedParts } from '#services/worker/turn/output/streamed-parts.ts';

const maxBytes = 4 * maxInlineBytes;
const big = 'x'.repeat(maxInlineBytes);

/** Files in memory, by their URLs. */
function createFiles(): { stored: string[]; files: ConstructorParameters<typeof StreamedParts>[1] } {
  const stored: string[] = [];
  return {
    stored,
    files: {
      fit: async (_output, parts) => [...parts],
      store: async ({ text = '', mediaType = 'text/plain' }) => {
        stored.push(text);
        return { url: `file:${stored.length}`, mediaType };
      },
    },
  };
}

describe('streamed parts', () => {
  test('keep small text as it is', async () => {
    const { files } = createFiles();
    const parts = new StreamedParts('a', files);
    const first = await parts.add([{ text: 'one ' }], maxBytes);
    const second = await parts.add([{ text: 'two' }], maxBytes);
    const end = await parts.finish(maxBytes);
    assert.deepEqual([first.parts, second.parts], [[{ text: 'one ' }], [{ text: 'two' }]]);
    assert.ok(!first.replaces && !second.replaces && !end.replaces);
    assert.deepEqual(parts.all, [{ text: 'one two' }]);
  });

  test('move large text to files, and join them at the end', async () => {
    const { files, stored } = createFiles();
    const parts = new StreamedParts('a', files);
    const first = await parts.add([{ text: 'start ' }, { text: big }], maxBytes);
    assert.deepEqual(first.parts, [{ url: 'file:1', mediaType: 'text/plain' }]);
    assert.equal(first.replaces, true);
    await parts.add([{ text: 'tail' }], maxBytes);
    assert.deepEqual(parts.all, [...first.parts, { text: 'tail' }]);
    const end = await parts.finish(maxBytes);
    assert.equal(end.replaces, true);
    assert.deepEqual(end.parts, [{ url: 'file:2', mediaType: 'text/plain' }]);
    assert.deepEqual(stored, [`start ${big}`, `start ${big}tail`]);
  });

  test('keep texts of other types and data apart', async () => {
    const { files, stored } = createFiles();
    const parts = new StreamedParts('a', files);
    const markdown = { text: big, mediaType: 'text/markdown' };
    await parts.add([{ text: 'a' }, { data: 1 }, markdown, markdown, { text: 'b' }], maxBytes);
    const { mediaType } = markdown;
    assert.deepEqual(parts.all, [{ text: 'a' }, { data: 1 }, { url: 'file:1', mediaType }, { text: 'b' }]);
    assert.deepEqual(stored, [big + big]);
  });

  test('fail above the limit if no files can be stored', async () => {
    const parts = new StreamedParts('The artifact "a"', { ...createFiles().files, store: undefined });
    await parts.add([{ text: big }], maxBytes);
    await assert.rejects(
      parts.add([{ text: big.repeat(4) }], maxBytes),
      /The artifact "a" is too large: .* PUBLIC_URL/,
    );
  });
});

describe('files of a turn', () => {
  const lease = { taskId: 't', turn: 1, fence: 1 };
  const caller = { tenant: '', owner: 'o' };
  const open = (publicUrl: string | undefined, pace?: OutputPace) =>
    createTurnFiles({} as Parameters<typeof createTurnFiles>[0], {
      publicUrl,
      recorder: { add: () => undefined },
      log: createLogger('test', 'silent'),
    })({ lease } as HeldLease, caller, pace);
  const files = open(undefined);

  test('fail output above the limit without PUBLIC_URL', async () => {
    const parts: Part[] = [{ text: big }, { data: [big] }];
    assert.deepEqual(await files.fit('The message', parts, maxBytes), parts);
    await assert.rejects(files.fit('The message', parts, maxInlineBytes), /The message is too large/);
  });

  test('are stored at the pace of their owner, and hashed in pieces', async () => {
    const waits: number[] = [];
    let pieces = 0;
    const paced = open('http://localhost', {
      wait: async (bytes) => void waits.push(bytes),
      nextPiece: async () => void (pieces += 1),
    });
    // Fails in the end, without a database.
    await assert.rejects(paced.store!({ text: 'x'.repeat(3_000_000) }), TypeError);
    assert.ok(waits.length === 1 && waits[0]! >= 3_000_000);
    assert.equal(pieces, 2);
  });
});

describe('artifact budget', () => {
  test('gives each artifact what the others have left, one at a time', async () => {
    const budget = createArtifactBudget(async () => new Map([['old', 2_000_000]]));
    const given: number[] = [];
    const spend = (id: string) =>
      budget.spend(id, async (left) => {
        given.push(left);
        return 50_000;
      });
    await Promise.all([spend('a'), spend('b'), spend('a')]);
    const all = 2 * 1024 * 1024;
    assert.deepEqual(given, [all - 2_000_000, all - 2_050_000, all - 2_050_000]);
  });

  test('goes to the next artifact after a failure', async () => {
    const budget = createArtifactBudget(async () => new Map());
    const failed = budget.spend('a', async () => {
      throw new Error('no');
    });
    const next = budget.spend('b', async () => 1);
    await assert.rejects(failed, /no/);
    await next;
  });
});

describe('text of earlier turns', () => {
  const read = (url: string) => {
    const content = Buffer.from(url.startsWith('own:') ? url : '');
    return Promise.resolve(content.length === 0 ? undefined : { mediaType: '', filename: null, content });
  };

  test('is read back from files of this service', async () => {
    const inline = createTextFileReader(read);
    const image = { url: 'own:image', mediaType: 'image/png' };
    const foreign = { url: 'https://example.com/a.txt', mediaType: 'text/plain' };
    const parts = await inline([
      { url: 'own:text', mediaType: 'text/plain;charset=utf-8' },
      { url: 'own:data', mediaType: 'application/json' },
      image,
      foreign,
      { text: 'a' },
    ]);
    assert.deepEqual(parts, [{ text: 'own:text' }, { text: 'own:data' }, image, foreign, { text: 'a' }]);
  });

  test('is read back up to 4 MiB', async () => {
    const part = { url: `own:${'x'.repeat(3_000_000)}`, mediaType: 'text/plain' };
    const [first, second] = await createTextFileReader(read)([part, part]);
    assert.ok(first?.text !== undefined);
    assert.deepEqual(second, part);
  });
});
