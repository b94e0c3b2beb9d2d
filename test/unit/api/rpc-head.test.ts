/** Large JSON-RPC requests: which methods may have them is decided before they are parsed. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FastifyRequest } from 'fastify';
import { readRequestText, refuseByHead } from '#services/api/bindings/jsonrpc/envelope.ts';
import { findMembers } from '#services/api/bindings/jsonrpc/members.ts';

const tooLarge = /^The body is larger than 65536 bytes/;

describe('the start of a large request', () => {
  const refusedIds = {
    '{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"a":[{},{': 1,
    ' { "method" : "tasks\\/get" , "id" : "a\\"b" , "jsonrpc" : "2.0" , "params" : {': 'a"b',
    '{"method":"GetTask","params":{"a":"': null,
    '{"\\u006d\\u0065\\u0074\\u0068od":"GetTask","params":{"a":"': null,
    '\ufeff{"method":"GetTask","params":{"a":"': null,
    '{"method":"SendMessage","method":"GetTask","params":{"a":"': null,
    '{"id":12345678901234567890,"method":"GetTask","params":{': null,
    '{"id":{"a":1},"method":"GetTask","params":{': undefined,
    '{"params":{},"method":"GetTask","id":1}': undefined,
    '{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{': undefined,
    '{"jsonrpc":"2.0","id":1,"method":"message/send","params":{': undefined,
    '{"jsonrpc":"2.0","id":1,"method":"GetTa': undefined,
    '{"jsonrpc":"2.0","id":1,"method":7,"params":{': undefined,
  };
  for (const [text, id] of Object.entries(refusedIds)) {
    const outcome =
      id === undefined ? 'leaves it to the parser' : `refuses it with the id ${JSON.stringify(id)}`;
    test(`${outcome}: ${text}`, () => {
      const refused = refuseByHead(Buffer.from(text));
      assert.deepEqual(refused?.id, id);
      if (id !== undefined) assert.match(refused?.error.message ?? '', tooLarge);
    });
  }

  test('refuses a batch', () => {
    for (const text of ['[{"method":"SendMessage","params":{', '\ufeff \n[']) {
      assert.match(refuseByHead(Buffer.from(text))?.error.message ?? '', /^Batches are not supported/);
    }
  });
});

describe('a large request', () => {
  /** 22,000 characters, and 66,000 bytes. */
  const wide = '€'.repeat(22_000);
  const long = 'x'.repeat(70_000);
  const read = (text: string) => {
    const request = { body: Buffer.from(text), headers: {}, mediaType: 'application/json' };
    return readRequestText(request as unknown as FastifyRequest);
  };

  const refused = {
    'has its method after its parameters': `{"params":{"a":"${long}"},"method":"GetTask","id":7}`,
    'is large only in bytes': `{"params":{"a":"${wide}"},"method":"GetTask","id":7}`,
    'has an escaped name': `{"params":{"a":"${long}"},"\\u006d\\u0065\\u0074\\u0068od":"GetTask","id":7}`,
    'has another method first': `{"method":"SendMessage","params":{"a":"${long}"},"method":"GetTask","id":7}`,
    'has another method last': `{"params":{"a":"${long}"},"method":"GetTask","method":"SendMessage","id":7}`,
    'has a method of any length': `{"params":{},"method":"${long}","id":7}`,
    'has quotes and braces in its texts': `{"params":{"a":"\\"}],\\\\","b":"${long}"},"method":"GetTask","id":7}`,
    'starts with a byte order mark': `\ufeff{"params":{"a":"${long}"},"method":"GetTask","id":7}`,
  };
  for (const [what, text] of Object.entries(refused)) {
    test(`that ${what} is refused before it is parsed`, (t) => {
      const parse = t.mock.method(JSON, 'parse');
      const outcome = read(text);
      assert.ok(typeof outcome === 'object');
      assert.equal(outcome.id, 7);
      assert.match(outcome.error.message, tooLarge);
      assert.ok(parse.mock.calls.every((call) => call.arguments[0].length < 100));
    });
  }

  const sparse = {
    'white space': `{"params":{},${' '.repeat(70_000)}"method":"GetTask","id":7}`,
    'white space after a name': `{"params":{},"id":7,"method"${' '.repeat(70_000)}:"GetTask"}`,
    'a long number': `{"params":{"a":${'1'.repeat(70_000)}},"method":"GetTask","id":7}`,
    'a text': `{"params":{"a":"${long}"},"method":"GetTask","id":7}`,
  };
  for (const [what, text] of Object.entries(sparse)) {
    test(`that is mostly ${what} is refused without reading each character`, (t) => {
      const reads = [
        t.mock.method(String.prototype, 'charCodeAt'),
        t.mock.method(String.prototype, 'charAt'),
      ];
      const outcome = read(text);
      const count = reads.reduce((sum, { mock }) => sum + mock.callCount(), 0);
      t.mock.restoreAll();
      assert.ok(typeof outcome === 'object');
      assert.equal(outcome.id, 7);
      assert.ok(count > 0 && count < 1_000, `${count} characters were read`);
    });
  }

  const accepted = {
    'is a message': `{"method":"SendMessage","params":{"a":"${long}"},"id":7}`,
    'is a message with its method last': `{"params":{"a":"${long}"},"method":"message/send","id":7}`,
    'has the name of another method within its parameters': `{"params":{"method":"GetTask","a":["method",{"method":"GetTask"}],"b":"${long}"},"a":"method","method":"SendMessage"}`,
    'has a method that is not a text': `{"params":{"a":"${long}"},"method":7}`,
    'is not JSON': `{"params":{"a":"${long}"`,
  };
  for (const [what, text] of Object.entries(accepted)) {
    test(`that ${what} is parsed`, () => assert.equal(read(text), text));
  }
});

describe('the members of a JSON text', () => {
  test('end with the one that JSON.parse returns', () => {
    // JSON.parse of Node 24 misreads escaped names of one character.
    const names = ['"id"', '"\\u0069d"', '"x"', '"id\\""', '"\\\\"', '"\\\\\\"id"'];
    const values = [
      '1',
      'null',
      '"id"',
      '{"id":2,"x":{}}',
      '[{"id":3}, "id"]',
      '"}"',
      '"]\\\\"',
      '"id\\":4,"',
      '[]',
      '{ }',
    ];
    let random = 1;
    const pick = (texts: readonly string[]): string => {
      random = (random * 48_271) % 2_147_483_647;
      return texts[random % texts.length]!;
    };
    const space = () => pick(['', ' ', '\n']);
    for (let n = 0; n < 3_000; n++) {
      const members = Array.from(
        { length: n % 6 },
        () => `${space()}${pick(names)}${space()}:${space()}${pick(values)}${space()}`,
      );
      const text = `{${members.join(',') || space()}}`;
      const expected = (JSON.parse(text) as { id?: unknown }).id;
      const found = findMembers(text, 'method', 'id').id.map((json) => JSON.parse(json) as unknown);
      assert.deepEqual(found.at(-1), expected, text);
    }
  });
});
