/** History goes by whole exchanges, the newest first, within an estimate of tokens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Content, Part } from '@google/genai';
import * as fc from 'fast-check';
import { newestWithin, tokensIn } from '#services/worker/agent/gemini/conversation/history.ts';

const said = (role: 'user' | 'model', ...parts: Part[]): Content => ({ role, parts });
const text = (chars: number): Part => ({ text: 'x'.repeat(chars) });
const call = said('model', { functionCall: { name: 'f' }, thoughtSignature: 's'.repeat(4000) });
const response = said('user', { functionResponse: { name: 'f', response: { output: 1 } } });

const first = [said('user', text(400)), said('model', text(400))];
const second = [said('user', text(40)), call, response, said('model', text(40))];

test('the oldest exchange goes first, a call with its response and its question', () => {
  const all = [...first, ...second];
  assert.deepEqual(newestWithin(all, 1000, false), all);
  assert.deepEqual(newestWithin(all, 100, false), second);
  assert.deepEqual(newestWithin(all, 20, false), []);
  assert.deepEqual(newestWithin([], 10, false), []);
});

test('an exchange that waits for its user stays', () => {
  const waiting = [...first, said('user', text(4000)), call];
  assert.deepEqual(newestWithin(waiting, 0, true), waiting.slice(2));
  assert.deepEqual(newestWithin(waiting, 1100, true), waiting.slice(2));
  assert.deepEqual(newestWithin(waiting, 1300, true), waiting);
});

test('what is kept is an end of what there was, begins with the user, and fits', () => {
  const exchange = fc
    .tuple(fc.nat(500), fc.boolean(), fc.nat(500))
    .map(([asked, called, answered]) => [
      said('user', text(asked + 1)),
      ...(called ? [call, response] : []),
      said('model', text(answered + 1)),
    ]);
  fc.assert(
    fc.property(fc.array(exchange), fc.nat(1000), (exchanges, maxTokens) => {
      const contents = exchanges.flat();
      const kept = newestWithin(contents, maxTokens, false);
      assert.deepEqual(kept, contents.slice(contents.length - kept.length));
      if (kept.length > 0) assert.ok(kept[0]?.role === 'user' && kept[0].parts?.[0]?.text !== undefined);
      const estimate = kept.reduce((sum, { parts = [] }) => sum + tokensIn(parts), 0);
      assert.ok(estimate <= maxTokens);
    }),
  );
});

test('images and other files count by what the model makes of them, not by their characters', () => {
  const inline = (mimeType: string) => [
    { inlineData: { mimeType, data: Buffer.alloc(30_000).toString('base64') } },
  ];
  assert.equal(tokensIn(inline('image/png')), 1120);
  assert.equal(tokensIn(inline('application/pdf')), 300);
  assert.equal(tokensIn(inline('text/plain')), 7500);
});
