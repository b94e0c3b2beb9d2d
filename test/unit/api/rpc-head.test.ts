/** The start of a JSON-RPC request shows whether it may be large. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { refuseByHead } from '#services/api/bindings/jsonrpc/envelope.ts';

describe('the start of a large request', () => {
  const refusedIds = {
    '{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"a":[{},{': 1,
    ' { "method" : "tasks\\/get" , "id" : "a\\"b" , "jsonrpc" : "2.0" , "params" : {': 'a"b',
    '{"method":"GetTask","params":{"a":"': null,
    '{"id":12345678901234567890,"method":"GetTask","params":{': null,
    '{"id":{"a":1},"method":"GetTask","params":{': undefined,
    '{"params":{},"method":"GetTask","id":1}': undefined,
    '{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{': undefined,
    '{"jsonrpc":"2.0","id":1,"method":"message/send","params":{': undefined,
    '{"jsonrpc":"2.0","id":1,"method":"GetTa': undefined,
    '{"jsonrpc":"2.0","id":1,"method":7,"params":{': undefined,
    '[{"method":"GetTask","params":{': undefined,
  };
  for (const [text, id] of Object.entries(refusedIds)) {
    const outcome =
      id === undefined ? 'leaves it to the parser' : `refuses it with the id ${JSON.stringify(id)}`;
    test(`${outcome}: ${text}`, () => {
      const refused = refuseByHead(Buffer.from(text));
      assert.deepEqual(refused?.id, id);
      if (id !== undefined)
        assert.match(refused?.error.message ?? '', /^The body is larger than 65536 bytes/);
    });
  }
});
