/** A model that keeps failing: what is waited for, for how long, and what the client sees of it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FatalError, ParkedError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import type { ScriptRule } from '#services/local/offline-model/script.ts';
import type { ModelResponse } from '#services/worker/agent/gemini/model/response.ts';
import type { FailedCall } from '#services/worker/agent/gemini/model/stall.ts';
import { MemoryTurn } from '../../support/agents/memory-turn.ts';
import { startMetadataServer } from '../../support/fakes/metadata-server.ts';
import { createTool, definitionWithoutTools as definition, useOfflineModel } from './use-offline-model.ts';

type Reaction = ScriptRule['reactions'][number];

const offline = useOfflineModel();
const html = '<html><body>502 Bad Gateway</body></html>';
const noCandidates = 'data: {"usageMetadata":{"promptTokenCount":7}}\r\n\r\n';

function script(...reactions: Reaction[]): void {
  offline.model.script([{ match: 'go', reactions, repeat: true }]);
}

/** Runs a turn, or runs it again with the steps of an earlier run. */
function createTurn(earlier?: MemoryTurn, limits: JsonObject = {}): MemoryTurn {
  const steps = earlier === undefined ? {} : { steps: earlier.steps };
  return new MemoryTurn({ message: 'go', definition: { ...definition, limits }, ...steps });
}

const run = (turn: MemoryTurn) => offline.createAgent().run(turn);

async function runUntilParked(turn: MemoryTurn): Promise<number> {
  const from = Date.now();
  const error: unknown = await run(turn).then(
    (outcome) => outcome,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ParkedError, JSON.stringify(error));
  return error.until.getTime() - from;
}

function readRecord(turn: MemoryTurn, step: string): FailedCall {
  return JSON.parse(turn.steps.get(step)!.result) as FailedCall;
}

/** Makes recorded failures older. */
function pass(turn: MemoryTurn, seconds: number): void {
  for (const step of turn.steps.values()) {
    const record = JSON.parse(step.result) as FailedCall;
    record.failed.at = new Date(Date.parse(record.failed.at) - seconds * 1000).toISOString();
    step.result = JSON.stringify(record);
  }
}

const outages: [string, Reaction][] = [
  ['status 500', { status: 500 }],
  ['the page of a proxy', { status: 502, body: html }],
  ['a page with status 200', { body: html }],
  ['status 504', { status: 504 }],
  ['status 499', { status: 499 }],
  ['an empty response', { body: '' }],
  ['a response without candidates', { body: noCandidates }],
  ['no finish reason', { chunks: ['a'], unfinished: true }],
  ['an error 503 within the stream', { chunks: ['a'], streamError: 503 }],
];

describe('a model that keeps failing', () => {
  for (const [name, reaction] of outages) {
    test(`is waited for until the window of the definition ends: ${name}`, async () => {
      script(reaction);
      const first = createTurn();
      const parkedMs = await runUntilParked(first);
      assert.ok(parkedMs >= 9_900 && parkedMs <= 20_100, `${parkedMs} ms`);
      assert.equal(offline.model.log().length, 3, 'retried in place');
      const second = createTurn(first);
      assert.ok((await runUntilParked(second)) >= 9_900);
      assert.equal(offline.model.log().length, 4, 'one call for each further wait');
      pass(first, 1200);
      assert.ok((await runUntilParked(createTurn(first))) > 20_100, 'a longer outage has longer waits');
      pass(first, 2400);
      await assert.rejects(run(createTurn(first)), (error: unknown) => {
        assert.ok(error instanceof FatalError, String(error));
        assert.match(
          error.message,
          /^The model gemini-3.8-flash has failed 4 times since 20.*Last error: The /,
        );
        return true;
      });
    });
  }

  test('fails the task at once if the definition allows no outage', async () => {
    script({ status: 500 });
    const failing = run(createTurn(undefined, { outageSeconds: 0 }));
    await assert.rejects(failing, {
      name: 'FatalError',
      message: 'The model reported an error (status 500).',
    });
  });

  test('is not parked past the end of the window', async () => {
    script({ status: 500 });
    const turn = createTurn(undefined, { outageSeconds: 20 });
    await runUntilParked(turn);
    pass(turn, 15);
    const again = createTurn(turn, { outageSeconds: 20 });
    assert.ok((await runUntilParked(again)) <= 6000);
  });

  test('gives its answer to the turn that has waited', async () => {
    offline.model.script([{ match: 'go', reactions: Array.from({ length: 3 }, () => ({ status: 500 })) }]);
    const turn = createTurn();
    await runUntilParked(turn);
    assert.deepEqual(await run(createTurn(turn)), { state: 'TASK_STATE_COMPLETED' });
    assert.deepEqual([...turn.steps.keys()], ['model#1', 'model#2']);
  });

  test('starts a new window after each answer', async () => {
    const tools = [createTool('look', async () => 'it')];
    const call = { functionCall: { name: 'look' } };
    const fails = Array.from({ length: 3 }, () => ({ status: 500 }));
    offline.model.script([{ match: 'go', reactions: [...fails, call, ...fails] }]);
    const turn = createTurn();
    await runUntilParked(turn);
    pass(turn, 3600);
    const agent = offline.createAgent({ tools });
    await assert.rejects(agent.run(createTurn(turn)), ParkedError);
    assert.equal(readRecord(turn, 'model#3').failed.kind, 'outage');
  });
});

describe('the status message', () => {
  test('says for what the task waits and since when', async () => {
    script({ status: 503 });
    const turn = createTurn();
    await runUntilParked(turn);
    const { at } = readRecord(turn, 'model#1').failed;
    assert.deepEqual(turn.progressMessages, [
      `Waiting for the model gemini-3.8-flash since ${at}: The model is overloaded or temporarily unavailable.`,
    ]);
  });

  test('changes only with the reason', async () => {
    script({ status: 503 });
    const turn = createTurn();
    await runUntilParked(turn);
    const again = createTurn(turn);
    await runUntilParked(again);
    assert.deepEqual(again.progressMessages, []);
    offline.model.reset();
    script({ status: 500 });
    const failing = createTurn(turn);
    await runUntilParked(failing);
    assert.match(failing.progressMessages.join(), new RegExp(`since .*: The model reported an error`));
  });
});

describe('an overloaded model', () => {
  for (const status of [429, 503]) {
    test(`is waited for without a bound and with one record: ${status}`, async () => {
      script({ status });
      const turn = createTurn();
      await runUntilParked(turn);
      pass(turn, 86_400);
      for (let repeat = 0; repeat < 3; repeat += 1) await runUntilParked(createTurn(turn));
      assert.deepEqual([...turn.steps.keys()], ['model#1']);
    });
  }
});

describe('the tokens of streams that were cut', () => {
  test('are added to those of the answer', async () => {
    offline.model.script([
      {
        match: 'go',
        reactions: [{ chunks: ['one two three four'], dropAfterChunks: 1 }, { chunks: ['done'] }],
      },
    ]);
    const turn = createTurn();
    await run(turn);
    const { usage } = JSON.parse(turn.steps.get('model#1')!.result) as ModelResponse;
    const [first, second] = [5, 1];
    assert.equal(usage['candidatesTokenCount'], first + second);
  });

  test('are recorded with the failure, and count for the limit of the task', async () => {
    script({ chunks: ['one two three four'], unfinished: true });
    const limits = { tokens: 10 };
    const turn = createTurn(undefined, limits);
    await runUntilParked(turn);
    const { options, result } = turn.steps.get('model#1')!;
    assert.equal(options.usage?.(JSON.parse(result) as JsonObject)?.tokens.output, 15);
    const outcome = await run(createTurn(turn, limits));
    assert.match(JSON.stringify(outcome), /limit of 10 tokens/);
  });
});

describe('refused credentials', () => {
  const refusals: [string, Reaction][] = [
    ['401', { status: 401 }],
    ['403', { status: 403 }],
    ['an invalid key', { status: 400, message: 'API key not valid. Please pass a valid API key.' }],
  ];
  for (const [name, reaction] of refusals) {
    test(`are waited for in a task that has used them before: ${name}`, async () => {
      const tools = [createTool('look', async () => 'it')];
      offline.model.script([{ match: 'go', reactions: [{ functionCall: { name: 'look' } }, reaction] }]);
      const turn = createTurn();
      const agent = offline.createAgent({ tools });
      await assert.rejects(agent.run(turn), ParkedError);
      assert.match(
        turn.progressMessages.at(-1) ?? '',
        /since .*: The agent is not permitted to use its model/,
      );
      assert.deepEqual(await agent.run(createTurn(turn)), { state: 'TASK_STATE_COMPLETED' });
    });
  }
});

test('credentials that the metadata server cannot issue are waited for', async (t) => {
  const metadata = await startMetadataServer(t);
  process.env['GCE_METADATA_HOST'] = metadata.host;
  t.after(() => delete process.env['GCE_METADATA_HOST']);
  const client = { vertexai: true, project: 'p', location: 'l', baseUrl: offline.model.url };
  const agent = offline.createAgent({ client });
  metadata.setToken('token');
  metadata.setStatus(500);
  const turn = createTurn();
  await assert.rejects(agent.run(turn), ParkedError);
  assert.match(turn.progressMessages.join(), /since .*: The credentials for the model cannot be obtained\.$/);
  metadata.setStatus(200);
  assert.deepEqual(await agent.run(createTurn(turn)), { state: 'TASK_STATE_COMPLETED' });
});
