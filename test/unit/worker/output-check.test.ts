/** The checks of what agents hand over. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FatalError } from '#shared/domain/errors.ts';
import { isBase64 } from '#shared/domain/message.ts';
import {
  checkArtifact,
  checkContent,
  checkOutcome,
  checkPart,
  checkStep,
} from '#services/worker/turn/output/check.ts';

const cyclic: Record<string, unknown> = {};
cyclic['self'] = cyclic;

/** Asserts that a check refuses its value with an error about a field. */
function assertRefused(check: () => void, expected: string): void {
  assert.throws(check, (error: unknown) => {
    assert.ok(error instanceof FatalError);
    assert.ok(error.message.startsWith("The agent's output is not valid: "), error.message);
    assert.ok(error.message.includes(expected), error.message);
    return true;
  });
}

describe('a part', () => {
  for (const part of [
    { text: '' },
    { data: null },
    { data: { a: [1, 'b', null, { c: undefined }] }, mediaType: 'application/json' },
    { raw: 'aGk=', filename: 'a', metadata: {} },
    { url: 'https://example.com/', text: undefined },
  ]) {
    test(`is accepted: ${JSON.stringify(part)}`, () => checkPart('part', part));
  }
  for (const [part, expected] of [
    [null, 'part: must be an object, not null'],
    [[], 'part: must be an object, not a list'],
    [Buffer.from('a'), 'part: must be an object, not a Buffer'],
    [{ text: 1 }, 'part.text: must be a text, not a number'],
    [{ raw: Buffer.from('a') }, 'part.raw: must be a text, not a Buffer'],
    [{ raw: 'a b' }, 'part.raw: must be base64'],
    [{ url: '' }, 'part.url: must not be empty'],
    [{ text: 'a', url: 'b' }, 'has text and url'],
    [{ text: 'a', mediaType: null }, 'part.mediaType: must be a text, not null'],
    [{ text: 'a', metadata: [] }, 'part.metadata: must be an object, not a list'],
    [{ data: { a: [1n] } }, 'part.data.a[0]: must be JSON, not a bigint'],
    [{ data: { a: Number.NaN } }, 'part.data.a: must be JSON, which has no NaN'],
    [{ data: [undefined] }, 'part.data[0]: must be JSON, not undefined'],
    [{ data: new Map() }, 'part.data: must be JSON, not a Map'],
    [{ data: { at: new Date() } }, 'part.data.at: must be JSON, not a Date'],
    [{ data: cyclic }, 'is nested too deeply (use at most 100 levels)'],
  ] as const) {
    test(`is refused: ${expected}`, () => assertRefused(() => checkPart('part', part), expected));
  }
});

describe('an artifact, a message or a step', () => {
  const parts = [{ text: 'a' }];
  for (const [check, expected] of [
    [() => checkArtifact(undefined), 'artifact: must be an object, not undefined'],
    [() => checkArtifact({ artifactId: 'a' }), 'artifact.parts: must be a list of parts, not undefined'],
    [() => checkArtifact({ artifactId: 'a', parts: [] }), 'artifact.parts: must have at least one part'],
    [() => checkArtifact({ artifactId: 7, parts }), 'artifact.artifactId: must be a text'],
    [() => checkArtifact({ artifactId: '\ud800', parts }), 'artifact.artifactId: must have only printable'],
    [() => checkArtifact({ artifactId: 'a'.repeat(257), parts }), 'at most 256 characters, not 257'],
    [() => checkArtifact({ artifactId: 'a', parts, extensions: 'x' }), 'artifact.extensions: must be a list'],
    [() => checkArtifact({ artifactId: 'a', parts, title: 'x' }), 'artifact.title: unknown field'],
    [() => checkContent('progress', []), 'progress: must have at least one part'],
    [() => checkOutcome(undefined), 'the result of run: must be an object, not undefined'],
    [() => checkOutcome({ state: 'TASK_STATE_WORKING', message: 'x' }), 'state: must be one of'],
    [() => checkOutcome({ direct: 'a', state: 'TASK_STATE_COMPLETED' }), 'state: unknown field'],
    [() => checkStep('', () => undefined), 'the name of a step: must be a text that is not empty'],
    [() => checkStep('a', undefined), 'the step "a": must have a function to run, not undefined'],
  ] as const) {
    test(`is refused: ${expected}`, () => assertRefused(check, expected));
  }
});

test('base64 is recognised by its alphabet, length and padding', () => {
  for (const text of ['', 'aA', 'aA==', 'aGk=', 'aGk', 'aGkh']) assert.ok(isBase64(text), text);
  for (const text of ['a', 'aGk==', 'a=k=', 'aG k', 'aG-_', '====', 'YWJjZA='])
    assert.ok(!isBase64(text), text);
});
