import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BlockedReason, FinishReason } from '@google/genai';
import type { JsonObject } from '#shared/domain/message.ts';
import type { ModelResponse } from '#services/worker/agent/gemini/model/response.ts';
import { classifyResponse } from '#services/worker/agent/gemini/model/classify-response.ts';

const text: JsonObject = { text: 'words' };
const call: JsonObject = { functionCall: { name: 'look', args: {} } };

function createResponse(parts: JsonObject[], more: Partial<ModelResponse> = {}): ModelResponse {
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

const classify = (parts: JsonObject[], finishReason: string) =>
  classifyResponse(createResponse(parts, { finishReason })).kind;

const ownCases = new Set([
  'STOP',
  'FINISH_REASON_UNSPECIFIED',
  'MAX_TOKENS',
  'MALFORMED_FUNCTION_CALL',
  'UNEXPECTED_TOOL_CALL',
  'MALFORMED_RESPONSE',
  'OTHER',
]);
const failures = Object.values(FinishReason)
  .filter((reason) => !ownCases.has(reason))
  .map((reason) => ({ reason, result: classifyResponse(createResponse([text], { finishReason: reason })) }));

describe('classifyResponse', () => {
  for (const reason of [FinishReason.STOP, FinishReason.FINISH_REASON_UNSPECIFIED]) {
    test(`prefers calls to text, and retries an empty response, after ${reason}`, () => {
      assert.equal(classify([text, call], reason), 'calls');
      assert.equal(classify([text], reason), 'answer');
      assert.equal(classify([{ text: ' \n' }], reason), 'retry');
      assert.equal(classify([{ text: 'only a thought', thought: true }], reason), 'retry');
      assert.equal(classify([], reason), 'retry');
    });
  }

  test('marks text that was cut at the token limit as truncated', () => {
    const cut = classifyResponse(createResponse([text, call], { finishReason: FinishReason.MAX_TOKENS }));
    assert.ok(cut.kind === 'answer' && cut.truncated);
  });

  test('fails when the token limit left no text', () => {
    assert.equal(classify([call], FinishReason.MAX_TOKENS), 'failed');
    assert.equal(classify([], FinishReason.MAX_TOKENS), 'failed');
  });

  test('retries a malformed response, and one that ended early', () => {
    for (const reason of ['MALFORMED_FUNCTION_CALL', 'UNEXPECTED_TOOL_CALL', 'MALFORMED_RESPONSE', 'OTHER']) {
      assert.equal(classify([], reason), 'retry');
      assert.equal(classify([text], reason), 'retry');
    }
  });

  test('fails with a distinct message for every other finish reason', () => {
    assert.ok(failures.length >= 10);
    const messages = failures.map(({ result }) => (result.kind === 'failed' ? result.message : result.kind));
    assert.equal(new Set(messages).size, failures.length, messages.join('\n'));
    assert.ok(messages.every((message) => message.startsWith('The model stopped ')));
  });

  test('withdraws text that was found unsafe', () => {
    const withdrawn = new Set<string>(
      failures.flatMap(({ reason, result }) => (result.kind === 'failed' && result.withdraw ? [reason] : [])),
    );
    for (const reason of ['SAFETY', 'PROHIBITED_CONTENT', 'SPII', 'RECITATION', 'BLOCKLIST']) {
      assert.ok(withdrawn.has(reason), reason);
    }
  });

  test('names a finish reason of a later API version', () => {
    const later = classifyResponse(createResponse([text], { finishReason: 'TIRED' }));
    assert.ok(later.kind === 'failed' && later.message.includes('TIRED'));
  });

  test('fails with a distinct message for every block reason', () => {
    const messages = [...Object.values(BlockedReason), 'LATER'].map((blockReason) => {
      const result = classifyResponse(createResponse([], { blockReason, finishReason: null }));
      return result.kind === 'failed' ? result.message : result.kind;
    });
    assert.equal(new Set(messages).size, messages.length);
    assert.ok(messages.every((message) => message.startsWith('The model refused the request: ')));
  });
});
