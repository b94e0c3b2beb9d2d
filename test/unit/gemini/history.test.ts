import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Content, Part } from '@google/genai';
import * as fc from 'fast-check';
import { trimHistory } from '#services/worker/agent/gemini/conversation/history.ts';
import { estimateTokens } from '#services/worker/agent/gemini/model/tokens.ts';

const content = (role: 'user' | 'model', ...parts: Part[]): Content => ({ role, parts });
const text = (chars: number): Part => ({ text: 'x'.repeat(chars) });
const call = content('model', { functionCall: { name: 'f' }, thoughtSignature: 's'.repeat(4000) });
const response = content('user', { functionResponse: { name: 'f', response: { output: 1 } } });

const first = [content('user', text(400)), content('model', text(400))];
const second = [content('user', text(40)), call, response, content('model', text(40))];

describe('trimHistory', () => {
  test('drops the oldest exchange first, with its calls and responses', () => {
    const all = [...first, ...second];
    assert.deepEqual(trimHistory(all, 1000, false), all);
    assert.deepEqual(trimHistory(all, 100, false), second);
    assert.deepEqual(trimHistory(all, 20, false), []);
    assert.deepEqual(trimHistory([], 10, false), []);
  });

  test('keeps an exchange that waits for its user', () => {
    const contents = [...first, content('user', text(4000)), call];
    assert.deepEqual(trimHistory(contents, 0, true), contents.slice(2));
    assert.deepEqual(trimHistory(contents, 1100, true), contents.slice(2));
    assert.deepEqual(trimHistory(contents, 1300, true), contents);
  });

  test('keeps a suffix that starts with the user and fits the limit', () => {
    const exchange = fc
      .tuple(fc.nat(500), fc.boolean(), fc.nat(500))
      .map(([questionChars, hasCall, answerChars]) => [
        content('user', text(questionChars + 1)),
        ...(hasCall ? [call, response] : []),
        content('model', text(answerChars + 1)),
      ]);
    fc.assert(
      fc.property(fc.array(exchange), fc.nat(1000), (exchanges, maxTokens) => {
        const contents = exchanges.flat();
        const kept = trimHistory(contents, maxTokens, false);
        assert.deepEqual(kept, contents.slice(contents.length - kept.length));
        if (kept.length > 0) assert.ok(kept[0]?.role === 'user' && kept[0].parts?.[0]?.text !== undefined);
        const estimate = kept.reduce((sum, { parts = [] }) => sum + estimateTokens(parts), 0);
        assert.ok(estimate <= maxTokens);
      }),
    );
  });
});
