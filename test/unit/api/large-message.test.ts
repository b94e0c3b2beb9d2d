/** Large messages are written and hashed in pieces. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SendMessageRequest } from '@a2a-js/sdk';
import {
  hashLargeRequest,
  hashRequest,
  writeLargeParts,
  writeMessage,
  writeParts,
} from '#services/api/handler/send/message-json.ts';
import type { Message, Part } from '#shared/domain/message.ts';

const megabyte = 1024 * 1024;
/** A surrogate pair at the end of the first piece, quotes and line breaks in the second one. */
const text = `${'ä'.repeat(megabyte - 1)}🎉${'"\n'.repeat(megabyte / 2)}`;
const request = { metadata: { a: 1 } } as unknown as SendMessageRequest;

function toMessage(parts: Part[]): Message {
  return { messageId: 'm', role: 'ROLE_USER', parts } as unknown as Message;
}

describe('a large message', () => {
  for (const [what, parts] of Object.entries<Part[]>({
    'a text': [{ text }],
    'texts and data': [{ text: 'a' }, { data: [text] }, { text, metadata: { b: [1] } }, { text: 'last' }],
    'a file': [{ raw: 'A'.repeat(3 * megabyte), mediaType: 'image/png' }],
  })) {
    test(`has the same JSON, size and hash as a small one: ${what}`, async () => {
      let pieces = 0;
      const pause = async () => void (pieces += 1);
      const written = await writeLargeParts(parts, pause);
      assert.ok(written.json === JSON.stringify(parts));
      assert.equal(written.bytes, Buffer.byteLength(written.json));
      assert.ok(pieces >= 1, `${pieces} pieces`);
      pieces = 0;
      const { json } = writeParts(parts);
      const hash = await hashLargeRequest(toMessage(parts), json, request, pause);
      assert.equal(hash, hashRequest(toMessage(parts), json, request));
      assert.equal(pieces, Math.ceil(json.length / megabyte));
    });
  }

  test('is measured with its envelope', () => {
    const parts: Part[] = [{ text: 'ä' }];
    const { json, bytes } = writeMessage(toMessage(parts), writeParts(parts), 1000);
    assert.deepEqual(JSON.parse(json), toMessage(parts));
    assert.equal(bytes, Buffer.byteLength(json));
    assert.throws(() => writeMessage(toMessage(parts), writeParts(parts), bytes - 1), /more than the limit/);
  });
});
