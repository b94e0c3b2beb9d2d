import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GenerateContentResponse, type Part } from '@google/genai';
import { totalTokens } from '#shared/domain/usage.ts';
import { toModelUsage } from '#services/worker/agent/gemini/model/cost.ts';
import { ResponseBuilder, getResponseText } from '#services/worker/agent/gemini/model/response.ts';

function buildResponse(...events: Part[][]) {
  const builder = new ResponseBuilder('gemini-3.8-flash');
  for (const parts of events) {
    const event = new GenerateContentResponse();
    event.candidates = [{ content: { role: 'model', parts } }];
    builder.add(event);
  }
  return builder.build(1, {});
}

describe('ResponseBuilder', () => {
  test('joins pieces of text but keeps thoughts, calls and signatures apart', () => {
    const call = { functionCall: { name: 'f', args: {} }, thoughtSignature: 'c2ln' };
    const response = buildResponse(
      [{ text: 'let me ', thought: true }],
      [{ text: 'see', thought: true }],
      [{ text: 'Hello ' }],
      [{ text: 'world' }],
      [{ text: '!', thoughtSignature: 'YQ==' }],
      [{ text: ' And' }],
      [{ text: '', thoughtSignature: 'Yg==' }],
      [call, { text: '' }],
    );
    assert.deepEqual(response.content['parts'], [
      { text: 'let me see', thought: true },
      { text: 'Hello world' },
      { text: '!', thoughtSignature: 'YQ==' },
      { text: ' And' },
      { text: '', thoughtSignature: 'Yg==' },
      call,
    ]);
    assert.equal(getResponseText(response), 'Hello world! And');
  });
});

describe('toModelUsage', () => {
  const usage = {
    promptTokenCount: 1000,
    cachedContentTokenCount: 400,
    toolUsePromptTokenCount: 100,
    candidatesTokenCount: 50,
    thoughtsTokenCount: 150,
  };
  const prices = { m: { input: 2, cachedInput: 0.5, output: 10 } };
  const tokens = { prompt: 1000, cached: 400, tool: 100, thoughts: 150, output: 50 };

  test('prices cached tokens separately, thoughts as output and tools as input', () => {
    const cost = (700 * 2 + 400 * 0.5 + 200 * 10) / 1_000_000;
    assert.deepEqual(toModelUsage(usage, 'm', prices), { model: 'm', tokens, cost });
    assert.equal(totalTokens(tokens), 1300);
  });

  test('reports no cost for a model without a price', () => {
    assert.deepEqual(toModelUsage(usage, 'other', prices), { model: 'other', tokens });
  });

  test('counts missing token counts as 0', () => {
    assert.equal(toModelUsage({}, 'm', { m: { input: 2, output: 10 } }).cost, 0);
  });
});
