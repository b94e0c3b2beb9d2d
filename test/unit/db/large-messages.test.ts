import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createMessageJoiner } from '#shared/db/client/large-messages.ts';

/** Returns a message of the server as it is sent. */
function createMessage(kind: string, content: string): Buffer {
  const header = Buffer.alloc(5, kind);
  header.writeInt32BE(4 + Buffer.byteLength(content), 1);
  return Buffer.concat([header, Buffer.from(content)]);
}

/** Passes chunks on, and returns copies of what the joiner hands over. */
function join(chunks: readonly Buffer[]): Buffer[] {
  const taken: Buffer[] = [];
  const read = createMessageJoiner((messages) => taken.push(Buffer.from(messages)));
  for (const chunk of chunks) read(Buffer.from(chunk));
  return taken;
}

function split(data: Buffer, bytes: number): Buffer[] {
  return Array.from({ length: Math.ceil(data.length / bytes) }, (_, index) =>
    data.subarray(index * bytes, (index + 1) * bytes),
  );
}

/** Fails unless the data consists of whole messages. */
function assertWhole(data: Buffer): void {
  let offset = 0;
  while (offset < data.length) offset += 1 + data.readUInt32BE(offset + 1);
  assert.equal(offset, data.length);
}

describe('createMessageJoiner', () => {
  const messages = [
    createMessage('T', 'columns'),
    createMessage('D', 'x'.repeat(200_000)),
    createMessage('2', ''),
    createMessage('D', 'é😀'.repeat(5_000)),
    createMessage('d', 'y'.repeat(100_000)),
    createMessage('C', 'SELECT 2'),
    createMessage('Z', 'I'),
  ];
  const all = Buffer.concat(messages);

  for (const bytes of [1, 2, 3, 4, 5, 6, 7, 1000, 65_536, all.length]) {
    test(`passes on whole messages from chunks of ${bytes} bytes`, () => {
      const taken = join(split(all, bytes));
      for (const data of taken) assertWhole(data);
      assert.deepEqual(Buffer.concat(taken), all);
    });
  }

  test('passes on messages when they are complete', () => {
    const [first, second] = [createMessage('D', 'first'), createMessage('D', 'second')];
    const taken: string[] = [];
    const read = createMessageJoiner((data) => taken.push(data.toString('latin1', 5)));
    read(Buffer.concat([first, second.subarray(0, 8)]));
    assert.deepEqual(taken, ['first']);
    read(second.subarray(8));
    assert.deepEqual(taken, ['first', 'second']);
  });

  test('leaves a buffer alone that others share', () => {
    const shared = Buffer.concat([createMessage('D', 'x'.repeat(100_000)), Buffer.from('others')]);
    const read = createMessageJoiner(() => undefined);
    read(shared.subarray(0, 40_000));
    read(shared.subarray(40_000, -6));
    assert.equal(shared.toString('latin1', shared.length - 6), 'others');
  });

  test('keeps a message that pg keeps', () => {
    const taken: Buffer[] = [];
    const read = createMessageJoiner((data) => taken.push(data));
    for (const chunk of split(createMessage('d', 'x'.repeat(100_000)), 50_000)) read(Buffer.from(chunk));
    assert.equal(taken[0]?.length, 100_005);
  });

  test('passes on what it gets after a message of an impossible length', () => {
    const head = Buffer.from('HTTP/1.1 400 Bad Request\r\n');
    const taken = join([Buffer.concat([messages[0]!, head]), Buffer.from('more')]);
    assert.equal(
      Buffer.concat(taken).toString('latin1').slice(messages[0]!.length),
      `${head.toString()}more`,
    );
  });
});
