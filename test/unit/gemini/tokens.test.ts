import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Part } from '@google/genai';
import { estimateTokens } from '#services/worker/agent/gemini/model/tokens.ts';

const file = (mimeType: string, bytes: number): Part => ({
  inlineData: { mimeType, data: Buffer.alloc(bytes).toString('base64') },
});
const response = { name: 'draw', response: { output: 'drawn' } };
const responseTokens = JSON.stringify({ functionResponse: response }).length / 4;

const cases: [string, Part[], number][] = [
  ['no parts', [], 0],
  ['text', [{ text: 'x'.repeat(400) }], 100],
  ['two texts, rounded up once', [{ text: 'x' }, { text: 'x' }], 1],
  ['a text file', [file('text/plain', 30_000)], 7500],
  ['a small image', [file('image/png', 30_000)], 1120],
  ['a large image', [file('image/jpeg', 3_000_000)], 1120],
  ['a PDF of one page', [file('application/pdf', 2000)], 258],
  ['a PDF of 1 MB', [file('application/pdf', 1_000_000)], 40 * 258],
  ['a minute of audio at 128 kbit/s', [file('audio/mpeg', 960_000)], 60 * 32],
  ['a minute of video at 1 Mbit/s', [file('video/mp4', 7_500_000)], 60 * 263],
  ['a PDF in Cloud Storage', [{ fileData: { mimeType: 'application/pdf', fileUri: 'gs://b/a' } }], 258],
  ['an image in Cloud Storage', [{ fileData: { mimeType: 'image/png', fileUri: 'gs://b/a' } }], 1120],
  ['a call', [{ functionCall: { name: 'f', args: {} } }], 10],
  [
    'a call with a signature',
    [{ functionCall: { name: 'f', args: {} }, thoughtSignature: 'ab'.repeat(99) }],
    10,
  ],
  [
    'a response with an image',
    [{ functionResponse: { ...response, parts: [{ inlineData: { mimeType: 'image/png', data: 'aGk=' } }] } }],
    Math.ceil(responseTokens + 1120),
  ],
];

describe('the token estimate', () => {
  for (const [name, parts, tokens] of cases) {
    test(`of ${name} is ${tokens}`, () => assert.equal(estimateTokens(parts), tokens));
  }
});
