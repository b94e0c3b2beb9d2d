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
/** A surrogate pair at the end of a piece, quotes and line breaks in the next one. */
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
    test(`has the same content, size and hash as a small one: ${what}`, async () => {
      let pieces = 0;
      const pause = async () => void (pieces += 1);
      const large = await writeLargeParts(parts, pause);
      assert.ok(pieces >= 1, `${pieces} pieces`);
      pieces = 0;
      const hash = await hashLargeRequest(toMessage(parts), large, request, pause);
      const small = writeParts(parts);
      assert.equal(hash, hashRequest(toMessage(parts), small.json, request));
      assert.equal(pieces, Math.ceil(small.bytes / megabyte));
      const expected = writeMessage(toMessage(parts), small, Infinity);
      // A send that is tried again writes the message again.
      for (const taskId of ['of the first try', 'second']) {
        const message = { ...toMessage(parts), taskId };
        const { json, bytes } = writeMessage(message, large, Infinity);
        assert.deepEqual(JSON.parse(json.toString()), message);
        assert.equal(bytes, Buffer.byteLength(json));
        assert.equal(bytes, expected.bytes + `,"taskId":"${taskId}"`.length);
      }
    });
  }

  test('is the same with any configuration that does not change its task', async () => {
    const parts: Part[] = [{ text }];
    const { json } = writeParts(parts);
    const large = await writeLargeParts(parts, () => Promise.resolve());
    const withConfiguration = (configuration?: object) =>
      ({ ...request, configuration }) as unknown as SendMessageRequest;
    const hash = hashRequest(toMessage(parts), json, withConfiguration());
    for (const configuration of [
      {},
      { returnImmediately: true },
      { historyLength: 3 },
      { acceptedOutputModes: [] },
    ]) {
      const same = withConfiguration({ acceptedOutputModes: [], returnImmediately: false, ...configuration });
      assert.equal(hashRequest(toMessage(parts), json, same), hash, JSON.stringify(configuration));
      assert.equal(await hashLargeRequest(toMessage(parts), large, same, () => Promise.resolve()), hash);
    }
    const other = withConfiguration({ acceptedOutputModes: ['text/plain'] });
    assert.notEqual(hashRequest(toMessage(parts), json, other), hash);
  });

  test('is measured with its envelope', async () => {
    const parts: Part[] = [{ text: 'ä' }];
    const message = toMessage(parts);
    const small = writeParts(parts);
    const large = await writeLargeParts(parts, () => Promise.resolve());
    const { json, bytes } = writeMessage(message, small, 1000);
    assert.deepEqual(JSON.parse(json.toString()), message);
    assert.equal(bytes, Buffer.byteLength(json));
    for (const written of [small, large]) {
      assert.equal(writeMessage(message, written, bytes).bytes, bytes);
      assert.throws(() => writeMessage(message, written, bytes - 1), /more than the limit/);
    }
  });
});
