/** Every reason that Gemini knows, for ending a reply or refusing a request, has an outcome of its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockedReason, FinishReason } from '@google/genai';
import type { JsonObject } from '#shared/domain/message.ts';
import type { ModelResponse } from '#services/worker/agent/gemini/model/response.ts';
import { classifyResponse } from '#services/worker/agent/gemini/model/classify-response.ts';

const text: JsonObject = { text: 'words' };
const call: JsonObject = { functionCall: { name: 'look', args: {} } };

function record(parts: JsonObject[], more: Partial<ModelResponse> = {}): ModelResponse {
  return {
    content: { role: 'model', ...(parts.length > 0 && { parts }) },
    finishReason: 'STOP',
    finishMessage: null,
    blockReason: null,
    usage: {},
    ms: 1,
    ...more,
  };
}

const kindOf = (parts: JsonObject[], finishReason: string) =>
  classifyResponse(record(parts, { finishReason })).kind;

test('a reply that ended by itself: calls before words, words before nothing', () => {
  for (const reason of [FinishReason.STOP, FinishReason.FINISH_REASON_UNSPECIFIED]) {
    assert.equal(kindOf([text, call], reason), 'calls');
    assert.equal(kindOf([text], reason), 'answer');
    assert.equal(kindOf([{ text: ' \n' }], reason), 'again');
    assert.equal(kindOf([{ text: 'only a thought', thought: true }], reason), 'again');
    assert.equal(kindOf([], reason), 'again');
  }
});

test('cut at its limit: what there is, marked; a call is not made of a part of one', () => {
  const cut = classifyResponse(record([text, call], { finishReason: FinishReason.MAX_TOKENS }));
  assert.ok(cut.kind === 'answer' && cut.truncated);
  assert.equal(kindOf([call], FinishReason.MAX_TOKENS), 'failed');
  assert.equal(kindOf([], FinishReason.MAX_TOKENS), 'failed');
});

test('a malformed call is asked for once more', () => {
  for (const reason of ['MALFORMED_FUNCTION_CALL', 'UNEXPECTED_TOOL_CALL', 'MALFORMED_RESPONSE']) {
    assert.equal(kindOf([], reason), 'again');
    assert.equal(kindOf([text], reason), 'again');
  }
});

test('every other end fails with words of its own; what was found unfit is withdrawn', () => {
  const known = new Set(['STOP', 'FINISH_REASON_UNSPECIFIED', 'MAX_TOKENS', 'MALFORMED_FUNCTION_CALL']);
  const asked = new Set(['UNEXPECTED_TOOL_CALL', 'MALFORMED_RESPONSE']);
  const others = Object.values(FinishReason).filter((reason) => !known.has(reason) && !asked.has(reason));
  assert.ok(others.length >= 10);
  const verdicts = others.map((reason) => classifyResponse(record([text], { finishReason: reason })));
  const messages = verdicts.map((verdict) => (verdict.kind === 'failed' ? verdict.message : verdict.kind));
  assert.equal(new Set(messages).size, others.length, messages.join('\n'));
  assert.ok(messages.every((message) => message.startsWith('The model stopped ')));
  const withdrawn = others.filter((_, index) => {
    const verdict = verdicts[index];
    return verdict?.kind === 'failed' && verdict.withdraw;
  });
  for (const reason of ['SAFETY', 'PROHIBITED_CONTENT', 'SPII', 'RECITATION', 'BLOCKLIST']) {
    assert.ok(withdrawn.includes(reason as FinishReason), reason);
  }
  // A reason that comes with a later version of the API is told by its name.
  const later = classifyResponse(record([text], { finishReason: 'TIRED' }));
  assert.ok(later.kind === 'failed' && later.message.includes('TIRED'));
});

test('every refusal of a request fails with words of its own', () => {
  const messages = [...Object.values(BlockedReason), 'LATER'].map((blockReason) => {
    const verdict = classifyResponse(record([], { blockReason, finishReason: null }));
    return verdict.kind === 'failed' ? verdict.message : verdict.kind;
  });
  assert.equal(new Set(messages).size, messages.length);
  assert.ok(messages.every((message) => message.startsWith('The model refused the request: ')));
});
