/** Large messages of MCP are refused before they are parsed. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FastifyRequest } from 'fastify';
import { readMessage } from '#services/api/mcp/message.ts';

const long = 'x'.repeat(70_000);
/** 22,000 characters, and 66,000 bytes. */
const wide = '€'.repeat(22_000);
const values = `[${'{},'.repeat(60_000)}{}]`;

describe('a large message of MCP', () => {
  for (const [what, text, reason] of [
    ['by its method', `{"id":1,"method":"tools/list","params":${values}}`, /larger than 65536 bytes/],
    ['by its values', `{"id":1,"method":"tools/call","params":${values}}`, /more than 50000 JSON values/],
    ['by its values, before its method', `{"params":${values},"method":"tools/list"}`, /more than 50000/],
    ['by a method after its params', `{"params":["${long}"],"method":"tools/list"}`, /larger than 65536/],
    ['by its bytes', `{"params":["${wide}"],"method":"tools/list"}`, /larger than 65536 bytes/],
    [
      'by a second method',
      `{"method":"tools/call","params":["${long}"],"method":"tools/list"}`,
      /larger than/,
    ],
  ] as const) {
    test(`is refused ${what}, before it is parsed`, (t) => {
      const parse = t.mock.method(JSON, 'parse');
      const request = { body: Buffer.from(text), headers: {}, mediaType: 'application/json' };
      assert.throws(() => readMessage(request as unknown as FastifyRequest), reason);
      assert.ok(parse.mock.calls.every((call) => call.arguments[0].length < 100));
    });
  }
});
