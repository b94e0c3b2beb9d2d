/** Failed, refused and incomplete replies of the model, the limits of a turn, and aborts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { FatalError, LeaseLostError, ParkedError } from '#shared/domain/errors.ts';
import type { ScriptRule } from '#services/local/offline-model/script.ts';
import { minimalDefinition as definition } from '../../support/agents/definition.ts';
import { MemoryTurn } from '../../support/agents/memory-turn.ts';
import { waitFor } from '../../support/wait-for.ts';
import { createTool, getFailure, getOutcomeMessage, useOfflineModel } from './use-offline-model.ts';

type Reaction = ScriptRule['reactions'][number];

const offline = useOfflineModel();

/** Runs a turn whose request matches `text`; the model reacts with `reactions`, and again if `repeat`. */
async function runScripted(text: string, reactions: Reaction[], repeat = false) {
  offline.model.script([{ match: text, reactions, repeat }]);
  const turn = new MemoryTurn({ message: text, definition });
  return { turn, outcome: await offline.createAgent().run(turn) };
}

/** Returns the milliseconds for which a turn is parked. */
async function getParkedMs(running: Promise<unknown>): Promise<number> {
  const from = Date.now();
  const error: unknown = await running.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ParkedError, String(error));
  return error.until.getTime() - from;
}

describe('a transient failure of the model', () => {
  test('is retried in place after the delay that the server asks for', async () => {
    const { outcome } = await runScripted('5 + 5', [{ status: 429, retryDelay: '0.2s' }]);
    assert.deepEqual(outcome, { state: 'TASK_STATE_COMPLETED' });
    const [first, second] = offline.model.log();
    assert.ok(Date.parse(second!.time) - Date.parse(first!.time) >= 190);
    assert.equal(offline.model.log().length, 2);
  });

  test('replaces the text of a stream that was cut', async () => {
    const { turn, outcome } = await runScripted('5 + 5', [
      { chunks: ['wrong ', 'text'], dropAfterChunks: 1 },
    ]);
    assert.deepEqual(outcome, { state: 'TASK_STATE_COMPLETED' });
    assert.equal(turn.getArtifactText('answer'), '5 + 5 = 10\n\n(calculated by the offline model)');
    assert.equal(offline.model.log().length, 2);
  });

  test('parks the task at once when the server asks for a long wait', async () => {
    const waitMs = await getParkedMs(runScripted('header', [{ status: 503, retryAfter: 30 }]));
    assert.ok(waitMs >= 30_000 && waitMs < 40_000, `${waitMs} ms`);
    assert.equal(offline.model.log().length, 1);
  });

  for (const [name, reaction] of [
    ['a repeated 429', { status: 429 }],
    ['a repeated 503', { status: 503 }],
    ['a stream that always ends too early', { chunks: ['a'], unfinished: true }],
  ] satisfies [string, Reaction][]) {
    test(`parks the task and records one failure after ${name}`, async () => {
      offline.model.script([{ match: 'x', reactions: [reaction], repeat: true }]);
      const turn = new MemoryTurn({ message: 'x', definition });
      const waitMs = await getParkedMs(offline.createAgent().run(turn));
      assert.ok(waitMs >= 5000 && waitMs <= 40_000, `${waitMs} ms`);
      assert.equal(offline.model.log().length, 3);
      assert.equal(turn.steps.size, 1);
    });
  }

  test('parks the task when the model cannot be reached', async () => {
    const agent = offline.createAgent({
      client: { apiKey: 'any', baseUrl: 'http://127.0.0.1:1' },
      backoff: { calls: 2, firstMs: 1, longestInPlaceMs: 10 },
    });
    await getParkedMs(agent.run(new MemoryTurn({ message: 'x', definition })));
  });
});

describe('a fatal failure of the model', () => {
  for (const [name, status, scripted, expected] of [
    [
      'a request that is too long',
      400,
      'The input token count exceeds the maximum.',
      /refused the request: The input token count exceeds/,
    ],
    [
      'an invalid key',
      400,
      'API key not valid. Please pass a valid API key.',
      /not permitted to use its model/,
    ],
    ['status 401', 401, 'secret-project has no access', /not permitted to use its model/],
    ['status 403', 403, 'secret-project has no access', /not permitted to use its model/],
    ['status 404', 404, undefined, /model "gemini-3.8-flash" is not available/],
  ] as const) {
    test(`fails the task at once, with a message for the client, after ${name}`, async () => {
      const reaction = { status, ...(scripted && { message: scripted }) };
      await assert.rejects(runScripted('x', [reaction], true), (error: unknown) => {
        assert.ok(error instanceof FatalError, String(error));
        assert.match(error.message, expected);
        assert.doesNotMatch(error.message, /secret-project|\{/);
        return true;
      });
      assert.equal(offline.model.log().length, 1);
    });
  }
});

describe('an unusable reply', () => {
  // The hints contain "empty", "malformed" and "ended early", so that the scripts match the later calls as
  // well.
  for (const [name, text, reaction, message, calls] of [
    [
      'a blocked request',
      'blocked',
      { blockReason: 'PROHIBITED_CONTENT' },
      /refused .* prohibited content/,
      1,
    ],
    ['an empty reply', 'empty', { empty: true }, /empty answer 4 times/, 4],
    [
      'a malformed reply',
      'malformed',
      { finishReason: 'MALFORMED_FUNCTION_CALL' },
      /unreadable reply 4 times in a row \(MALFORMED_FUNCTION_CALL\)/,
      4,
    ],
    ['an early end', 'ended early', { finishReason: 'OTHER' }, /without an answer 4 times/, 4],
    ['a new finish reason', 'new', { finishReason: 'TIRED' }, /without an answer \(TIRED\)/, 1],
  ] satisfies [string, string, Reaction, RegExp, number][]) {
    test(`fails the turn with a reason after ${name}`, async () => {
      const { outcome } = await runScripted(text, [reaction], true);
      assert.match(getFailure(outcome), message);
      assert.equal(offline.model.log().length, calls);
    });
  }

  test('fails the turn and withdraws its text when it is unsafe', async () => {
    const reaction = { chunks: ['something bad'], finishReason: 'SAFETY' };
    const { turn, outcome } = await runScripted('unsafe', [reaction]);
    assert.match(getFailure(outcome), /stopped its answer: its safety filters/);
    assert.doesNotMatch(turn.getArtifactText('answer') ?? '', /something bad/);
  });

  test('is requested again, with a hint', async () => {
    const { outcome } = await runScripted('6 * 7', [{ finishReason: 'MALFORMED_FUNCTION_CALL' }]);
    assert.deepEqual(outcome, { state: 'TASK_STATE_COMPLETED' });
    assert.match(JSON.stringify(offline.requests[0]?.contents.at(-1)), /function call was malformed/);
  });

  test('is kept and marked as truncated when it was cut at the token limit', async () => {
    const reaction = { chunks: ['a long ', 'story'], finishReason: 'MAX_TOKENS' };
    const { turn, outcome } = await runScripted('long', [reaction]);
    assert.ok('state' in outcome && outcome.state === 'TASK_STATE_COMPLETED');
    assert.match(getOutcomeMessage(outcome), /cut at the model's limit/);
    assert.equal(turn.getArtifactText('answer'), 'a long story');
    assert.deepEqual(turn.artifacts[0]?.metadata, { truncated: true, finishReason: 'MAX_TOKENS' });
  });

  test('fails the turn when the token limit left no text', async () => {
    const { outcome } = await runScripted('none', [{ finishReason: 'MAX_TOKENS' }]);
    assert.match(getFailure(outcome), /limit of output tokens/);
  });
});

describe('a limit of the definition', { timeout: 60_000 }, () => {
  const loop: Reaction = { functionCall: { name: 'lookup' } };
  for (const [name, limits, reaction, message] of [
    ['model calls', { modelCalls: 3 }, loop, /limit of 3 model calls/],
    ['tool calls', { toolCalls: 2 }, loop, /limit of 2 tool calls/],
    ['time in a tool', { workSeconds: 1 }, { functionCall: { name: 'slow' } }, /limit of 1 seconds of work/],
    ['time in the model', { workSeconds: 1 }, { hang: true }, /limit of 1 seconds of work/],
  ] satisfies [string, object, Reaction, RegExp][]) {
    test(`ends the turn and is named in the message: ${name}`, async () => {
      offline.model.script([{ match: 'go', reactions: [reaction], repeat: true }]);
      const tools = [
        createTool('lookup', async () => 'it'),
        createTool('slow', (_, { signal }) => sleep(60_000, null, { signal })),
      ];
      const turn = new MemoryTurn({ message: 'go', definition: { ...definition, limits } });
      assert.match(getFailure(await offline.createAgent({ tools }).run(turn)), message);
      if ('hang' in reaction) {
        await waitFor('the call to be aborted', () => offline.model.log().at(-1)?.aborted === true);
      }
    });
  }
});

describe('an abort', { timeout: 60_000 }, () => {
  for (const [name, reaction] of [
    ['while the model is silent', { hang: true }],
    ['within a stream', { chunks: ['a', 'b', 'c'], chunkDelayMs: 60_000 }],
    ['while a retry waits', { status: 429, retryDelay: '0.4s' }],
  ] satisfies [string, Reaction][]) {
    test(`ends the call at once and is rethrown ${name}`, async () => {
      offline.model.script([{ match: 'wait', reactions: [reaction], repeat: true }]);
      const stop = new AbortController();
      const turn = new MemoryTurn({ message: 'wait', definition, signal: stop.signal });
      const running = offline.createAgent().run(turn);
      await waitFor('the first call', () => offline.model.log().length > 0);
      const from = performance.now();
      stop.abort(new LeaseLostError('cancelled'));
      await assert.rejects(running, LeaseLostError);
      if (!('status' in reaction)) {
        await waitFor('the call to be aborted', () => offline.model.log()[0]?.aborted === true);
      }
      assert.ok(performance.now() - from < 10_000, 'without the abort each takes a minute');
    });
  }
});
