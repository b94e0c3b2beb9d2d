import { test } from 'node:test';
import assert from 'node:assert/strict';
import { GenerateContentResponse } from '@google/genai';
import type { Part } from '@google/genai';
import * as fc from 'fast-check';
import { totalTokens } from '#shared/domain/usage.ts';
import { defaultBackoff, parkFor, waitsInPlace } from '#services/worker/agent/gemini/model/backoff.ts';
import { toUsage } from '#services/worker/agent/gemini/model/cost.ts';
import { RecordBuilder, textOf } from '#services/worker/agent/gemini/model/response.ts';

function recordOf(...events: Part[][]) {
  const builder = new RecordBuilder('gemini-3.8-flash');
  for (const parts of events) {
    const event = new GenerateContentResponse();
    event.candidates = [{ content: { role: 'model', parts } }];
    builder.add(event);
  }
  return builder.build(1);
}

test('pieces of text are joined; thoughts, calls and whatever has a signature stay as they came', () => {
  const call = { functionCall: { name: 'f', args: {} }, thoughtSignature: 'c2ln' };
  const record = recordOf(
    [{ text: 'let me ', thought: true }],
    [{ text: 'see', thought: true }],
    [{ text: 'Hello ' }],
    [{ text: 'world' }],
    [{ text: '!', thoughtSignature: 'YQ==' }],
    [{ text: ' And' }],
    [{ text: '', thoughtSignature: 'Yg==' }],
    [call, { text: '' }],
  );
  assert.deepEqual(record.content['parts'], [
    { text: 'let me see', thought: true },
    { text: 'Hello world' },
    { text: '!', thoughtSignature: 'YQ==' },
    { text: ' And' },
    { text: '', thoughtSignature: 'Yg==' },
    call,
  ]);
  assert.equal(textOf(record), 'Hello world! And');
});

test('cost: cached tokens at their own price, thoughts as output, tools as input; none without a price', () => {
  const usage = {
    promptTokenCount: 1000,
    cachedContentTokenCount: 400,
    toolUsePromptTokenCount: 100,
    candidatesTokenCount: 50,
    thoughtsTokenCount: 150,
  };
  const prices = { m: { input: 2, cachedInput: 0.5, output: 10 } };
  const tokens = { prompt: 1000, cached: 400, tool: 100, thoughts: 150, output: 50 };
  assert.deepEqual(toUsage(usage, 'm', prices), {
    model: 'm',
    tokens,
    cost: (700 * 2 + 400 * 0.5 + 200 * 10) / 1_000_000,
  });
  assert.equal(totalTokens(tokens), 1300);
  assert.deepEqual(toUsage(usage, 'other', prices), { model: 'other', tokens });
  assert.equal(toUsage({}, 'm', { m: { input: 2, output: 10 } }).cost, 0);
});

const hint = fc.option(fc.integer({ min: 0, max: 10_000_000 }), { nil: undefined });
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test('a wait in place is never shorter than the server asks nor longer than is allowed, and they end', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10 }), hint, random, (made, hintMs, dice) => {
      const wait = waitsInPlace(defaultBackoff, made, hintMs, dice);
      if (made >= defaultBackoff.calls) return wait === undefined;
      if (wait === undefined) return (hintMs ?? 0) * 1.25 > defaultBackoff.longestInPlaceMs;
      return wait >= (hintMs ?? 0) && wait <= defaultBackoff.longestInPlaceMs && wait > 0;
    }),
  );
});

test('a task is parked between 5 s and 15 min, not before the server asks where that is within', () => {
  fc.assert(
    fc.property(hint, random, (hintMs, dice) => {
      const park = parkFor(hintMs, dice);
      return park >= 5000 && park <= 900_000 && park >= Math.min(hintMs ?? 30_000, 900_000);
    }),
  );
});
