/**
 * The offline model refuses the requests that Gemini refuses, so that a request that works here works there.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Content, Part } from '@google/genai';
import { checkRequest } from '#services/local/offline-model/check-request.ts';
import type { Api } from '#services/local/offline-model/wire.ts';

const user = (...parts: Part[]): Content => ({ role: 'user', parts });
const model = (...parts: Part[]): Content => ({ role: 'model', parts });
const hello = user({ text: 'hello' });
const call: Part = { functionCall: { name: 'f', args: {} }, thoughtSignature: 'c2ln' };
const response: Part = { functionResponse: { name: 'f', response: { output: 1 } } };
const functions = { functionDeclarations: [{ name: 'f' }] };
const file = (mimeType: string, fileUri: string) => user({ fileData: { mimeType, fileUri } });

const refused: [string, object, RegExp, { model?: string; api?: Api }?][] = [
  ['no contents', { contents: [] }, /contents is not specified/],
  ['a content without parts', { contents: [user()] }, /parts must not be empty/],
  [
    'a part with two kinds of data',
    { contents: [user({ text: 'a', ...response })] },
    /must have one initialized/,
  ],
  [
    'a call without its signature',
    { contents: [hello, model({ functionCall: call.functionCall! }), user(response)] },
    /missing a thought_signature/,
  ],
  [
    'a call without its response',
    { contents: [hello, model(call)] },
    /equal to the number of function call parts/,
  ],
  ['a response without a call', { contents: [user(response)] }, /immediately after a function call turn/],
  [
    'a call without a user turn before it',
    { contents: [model(call), user(response)] },
    /immediately after a user turn/,
  ],
  [
    'an image of an unsupported type',
    { contents: [user({ inlineData: { mimeType: 'image/gif', data: 'aGk=' } })] },
    /Unsupported MIME type: image\/gif/,
  ],
  [
    'data that is not base64',
    { contents: [user({ inlineData: { mimeType: 'image/png', data: '<svg>' } })] },
    /Base64 decoding failed/,
  ],
  [
    'a Cloud Storage file on the Developer API',
    { contents: [file('application/pdf', 'gs://b/a.pdf')] },
    /unsupported file uri/,
  ],
  [
    'a file without a type on Vertex AI',
    { contents: [file('', 'gs://b/a')] },
    /Unsupported MIME type/,
    { api: 'vertex' },
  ],
  [
    'two functions with the same name',
    { contents: [hello], tools: [{ functionDeclarations: [{ name: 'f' }, { name: 'f' }] }] },
    /Duplicate function/,
  ],
  [
    'functions together with its own tools',
    { contents: [hello], tools: [functions, { googleSearch: {} }] },
    /can be batched only with/,
  ],
  [
    'functions together with a schema before Gemini 3',
    { contents: [hello], tools: [functions], generationConfig: { responseMimeType: 'application/json' } },
    /'application\/json' is unsupported/,
    { model: 'gemini-2.5-flash' },
  ],
  [
    'a thinking level before Gemini 3',
    { contents: [hello], generationConfig: { thinkingConfig: { thinkingLevel: 'LOW' } } },
    /level is not supported/,
    { model: 'gemini-2.5-flash' },
  ],
  [
    'both a thinking level and a thinking budget',
    { contents: [hello], generationConfig: { thinkingConfig: { thinkingLevel: 'LOW', thinkingBudget: 1 } } },
    /only one of thinking budget/,
  ],
  [
    'a schema for a text response',
    { contents: [hello], generationConfig: { responseJsonSchema: {} } },
    /only supported with response mime type/,
  ],
];

const accepted: [string, object, { model?: string; api?: Api }?][] = [
  ['a call with its response', { contents: [hello, model(call), user(response)] }],
  [
    'a Cloud Storage file on Vertex AI',
    { contents: [file('application/pdf', 'gs://b/a.pdf')] },
    { api: 'vertex' },
  ],
  [
    'functions together with its own tools on Vertex AI',
    { contents: [hello], tools: [functions, { googleSearch: {} }] },
    { api: 'vertex' },
  ],
  [
    'functions together with a schema',
    { contents: [hello], tools: [functions], generationConfig: { responseMimeType: 'application/json' } },
  ],
];

describe('the offline model', () => {
  for (const [what, body, message, about] of refused) {
    test(`refuses ${what}`, () => {
      const target = { model: 'gemini-3.8-flash', api: 'developer' as const, ...about };
      assert.throws(() => checkRequest(body, target), message);
    });
  }

  for (const [what, body, about] of accepted) {
    test(`accepts ${what}`, () => {
      const target = { model: 'gemini-3.8-flash', api: 'developer' as const, ...about };
      assert.equal(checkRequest(body, target), body);
    });
  }
});
