/** The offline model refuses the requests that Gemini refuses, so a request that works here works there. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Content, Part } from '@google/genai';
import { checkRequest } from '#services/local/offline-model/check-request.ts';
import type { Api } from '#services/local/offline-model/wire.ts';

interface Target {
  model?: string;
  api?: Api;
}

const user = (...parts: Part[]): Content => ({ role: 'user', parts });
const model = (...parts: Part[]): Content => ({ role: 'model', parts });
const file = (mimeType: string, fileUri: string) => user({ fileData: { mimeType, fileUri } });
const hello = user({ text: 'hello' });
const call: Part = { functionCall: { name: 'f', args: {} }, thoughtSignature: 'c2ln' };
const response: Part = { functionResponse: { name: 'f', response: { output: 1 } } };
const functions = { functionDeclarations: [{ name: 'f' }] };

const refused: [string, object, RegExp, Target?][] = [
  ['a request without contents', { contents: [] }, /contents is not specified/],
  ['a content without parts', { contents: [user()] }, /parts must not be empty/],
  [
    'a part with two kinds of data',
    { contents: [user({ text: 'a', ...response })] },
    /must have one initialized/,
  ],
  [
    'a function call without its thought signature',
    { contents: [hello, model({ functionCall: call.functionCall! }), user(response)] },
    /missing a thought_signature/,
  ],
  [
    'a function call without its response',
    { contents: [hello, model(call)] },
    /equal to the number of function call parts/,
  ],
  [
    'a function response without its call',
    { contents: [user(response)] },
    /immediately after a function call turn/,
  ],
  [
    'a function call without a turn before it',
    { contents: [model(call), user(response)] },
    /immediately after a user turn/,
  ],
  [
    'an unsupported image type',
    { contents: [user({ inlineData: { mimeType: 'image/gif', data: 'aGk=' } })] },
    /Unsupported MIME type: image\/gif/,
  ],
  [
    'inline data that is not base64',
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
    'functions together with built-in tools',
    { contents: [hello], tools: [functions, { googleSearch: {} }] },
    /can be combined only with/,
  ],
  [
    'functions together with a response schema before Gemini 3',
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
    'a thinking level together with a thinking budget',
    { contents: [hello], generationConfig: { thinkingConfig: { thinkingLevel: 'LOW', thinkingBudget: 1 } } },
    /only one of thinking budget/,
  ],
  [
    'a response schema for a text response',
    { contents: [hello], generationConfig: { responseJsonSchema: {} } },
    /only supported with response mime type/,
  ],
];

const accepted: [string, object, Target?][] = [
  ['a function call with its response', { contents: [hello, model(call), user(response)] }],
  [
    'a Cloud Storage file on Vertex AI',
    { contents: [file('application/pdf', 'gs://b/a.pdf')] },
    { api: 'vertex' },
  ],
  [
    'functions together with built-in tools on Vertex AI',
    { contents: [hello], tools: [functions, { googleSearch: {} }] },
    { api: 'vertex' },
  ],
  [
    'functions together with a response schema on Gemini 3',
    { contents: [hello], tools: [functions], generationConfig: { responseMimeType: 'application/json' } },
  ],
];

describe('offline model request checks', () => {
  const check = (body: object, target?: Target) =>
    checkRequest(body, { model: 'gemini-3.8-flash', api: 'developer', ...target });

  for (const [name, body, message, target] of refused) {
    test(`refuses ${name}`, () => {
      assert.throws(() => check(body, target), message);
    });
  }

  for (const [name, body, target] of accepted) {
    test(`accepts ${name}`, () => {
      assert.equal(check(body, target), body);
    });
  }
});
