/** Calls through the Interactions API, against the offline model. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FatalError, ParkedError } from '#shared/domain/errors.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { Crash, MemoryTurn } from '../../../support/agents/memory-turn.ts';
import { startMetadataServer } from '../../../support/fakes/metadata-server.ts';
import { definitionWithoutTools, getFailure, useOfflineModel } from '../use-offline-model.ts';

const offline = useOfflineModel();
const withModel = (model: JsonObject, more: JsonObject = {}): JsonObject => ({
  ...definitionWithoutTools,
  model: { name: 'gemini-3.8-flash', api: 'interactions', background: 'always', ...model },
  ...more,
});
const definition = withModel({});
const completed = { state: 'TASK_STATE_COMPLETED' };
const list = () => offline.model.interactions.list();

describe('a call in the background', () => {
  test('creates one interaction with labels and records its reply as a model step', async () => {
    offline.model.script([{ match: 'hello', reactions: [{ delayMs: 30, chunks: ['Good day.'] }] }]);
    const turn = new MemoryTurn({ message: 'hello', definition });
    assert.deepEqual(await offline.createAgent().run(turn), completed);
    assert.equal(turn.getArtifactText('answer'), 'Good day.');
    const [interaction, ...others] = list();
    assert.equal(others.length, 0);
    const { background, store, labels, system_instruction } = interaction!.request;
    assert.deepEqual([background, store], [true, true]);
    assert.deepEqual(labels, { longhaul_task: 'task-1', longhaul_turn: '1', longhaul_call: '1' });
    assert.ok(system_instruction!.length > 0);
    assert.deepEqual([...turn.steps.keys()], ['interaction#1', 'interaction-wait#1', 'model#1']);
    const { options, result } = turn.steps.get('model#1')!;
    const usage = options.usage!(JSON.parse(result) as Json);
    assert.ok(usage!.tokens.prompt > 0 && usage!.tokens.output > 0);
    assert.ok((JSON.parse(result) as { ms: number }).ms >= 25);
  });

  for (const background of ['always', 'never']) {
    test(`is sent without labels if they are refused, with background ${background}`, async () => {
      const labels = { refused: 0 };
      offline.model.interactions.labels = labels;
      const agent = offline.createAgent();
      for (const message of ['hello', 'again']) {
        const turn = new MemoryTurn({ message, definition: withModel({ background }) });
        assert.deepEqual(await agent.run(turn), completed);
      }
      assert.equal(labels.refused, 1, 'asked once');
      assert.deepEqual(
        list().map(({ request }) => request.labels),
        [undefined, undefined],
      );
    });
  }

  test('names its wait to the webhook of the project', async () => {
    const agent = offline.createAgent({ client: { ...offline.client, projectWebhooks: true } });
    assert.deepEqual(await agent.run(new MemoryTurn({ message: 'hello', definition })), completed);
    const { webhook_config: webhook, labels } = list()[0]!.request;
    assert.deepEqual(webhook, { user_metadata: { ...labels, longhaul_token: 'token' } });
  });

  for (const crashAfter of ['interaction#1', 'model#1']) {
    test(`creates no second interaction after a death behind ${crashAfter}`, async () => {
      offline.model.script([{ match: 'hello', reactions: [{ delayMs: 20, chunks: ['Good day.'] }] }]);
      const first = new MemoryTurn({ message: 'hello', definition, crashAfter });
      await assert.rejects(offline.createAgent().run(first), Crash);
      const rerun = new MemoryTurn({ message: 'hello', definition, steps: first.steps });
      assert.deepEqual(await offline.createAgent().run(rerun), completed);
      assert.equal(rerun.getArtifactText('answer'), 'Good day.');
      assert.equal(list().length, 1);
    });
  }

  test('takes an interaction that a webhook has reported before it was recorded', async () => {
    const first = new MemoryTurn({ message: 'hello', definition, crashAfter: 'interaction#1' });
    await assert.rejects(offline.createAgent().run(first), Crash);
    const rerun = new MemoryTurn({ message: 'hello', definition, reported: list()[0]!.id });
    assert.deepEqual(await offline.createAgent().run(rerun), completed);
    assert.equal(list().length, 1);
  });

  test('takes the first of two interactions that is reported, and cancels the other', async () => {
    offline.model.script([{ match: 'hello', reactions: [{ chunks: ['the first'] }, { delayMs: 60_000 }] }]);
    let steps: MemoryTurn['steps'] | undefined;
    for (let deaths = 0; deaths < 2; deaths += 1) {
      const turn = new MemoryTurn({ message: 'hello', definition, crashAfter: 'interaction#1' });
      await assert.rejects(offline.createAgent().run(turn), Crash);
      ({ steps } = turn);
    }
    const turn = new MemoryTurn({ message: 'hello', definition, steps: steps!, reported: list()[0]!.id });
    assert.deepEqual(await offline.createAgent().run(turn), completed);
    assert.equal(turn.getArtifactText('answer'), 'the first');
    assert.deepEqual(
      list().map(({ status }) => status),
      ['completed', 'cancelled'],
    );
  });

  test('counts a second creation after a death that may have lost the first', async (t) => {
    const { mock } = t.mock.method(instruments.modelCallsRepeated, 'record', () => undefined);
    for (const knownWait of [false, true]) {
      const turn = new MemoryTurn({ message: 'hello', definition, knownWait });
      assert.deepEqual(await offline.createAgent().run(turn), completed);
      assert.equal(mock.callCount(), knownWait ? 1 : 0);
    }
  });

  test('keeps waiting while Google cannot be asked', async () => {
    for (const status of [429, 500]) offline.model.interactions.fail({ method: 'get', status, times: 2 });
    const turn = new MemoryTurn({ message: 'hello', definition });
    assert.deepEqual(await offline.createAgent().run(turn), completed);
    assert.equal(list().length, 1);
  });

  test('fails when Google no longer has the interaction', async () => {
    const first = new MemoryTurn({ message: 'hello', definition, crashAfter: 'interaction#1' });
    await assert.rejects(offline.createAgent().run(first), Crash);
    offline.model.interactions.expire(list()[0]!.id);
    const rerun = new MemoryTurn({ message: 'hello', definition, steps: first.steps });
    await assert.rejects(offline.createAgent().run(rerun), (error: Error) => {
      assert.ok(error instanceof FatalError);
      return /is gone: Google no longer has it/.test(error.message);
    });
  });

  test('is parked when its creation fails in a way that may pass', async () => {
    offline.model.interactions.fail({ method: 'create', status: 429, times: 3 });
    const first = new MemoryTurn({ message: 'hello', definition });
    await assert.rejects(offline.createAgent().run(first), ParkedError);
    assert.deepEqual(first.progressMessages.length, 1);
    const rerun = new MemoryTurn({ message: 'hello', definition, steps: first.steps });
    assert.deepEqual(await offline.createAgent().run(rerun), completed);
    assert.equal(list().length, 1);
  });

  test('fails when its creation is refused', async () => {
    offline.model.interactions.fail({ method: 'create', status: 400, times: 1 });
    const turn = new MemoryTurn({ message: 'hello', definition });
    await assert.rejects(offline.createAgent().run(turn), /The model refused the request/);
  });

  test('is parked when it fails at the model, and counts', async () => {
    offline.model.script([{ match: 'hello', reactions: [{ status: 500 }] }]);
    const first = new MemoryTurn({ message: 'hello', definition });
    await assert.rejects(offline.createAgent().run(first), ParkedError);
    const { result, options } = first.steps.get('model#1')!;
    assert.ok(options.usage!(JSON.parse(result) as Json)!.tokens.prompt > 0);
    const rerun = new MemoryTurn({ message: 'hello', definition, steps: first.steps });
    assert.deepEqual(await offline.createAgent().run(rerun), completed);
    assert.deepEqual(
      list().map(({ status }) => status),
      ['failed', 'completed'],
    );
  });

  test('is canceled at its limit of time, and counted', async () => {
    offline.model.script([{ match: 'hello', reactions: [{ delayMs: 60_000 }] }]);
    const limited = withModel({}, { limits: { backgroundSeconds: 1 } });
    const turn = new MemoryTurn({ message: 'hello', definition: limited, ageSeconds: 1 });
    const expected = /limit of 1 seconds for a call in the background/;
    assert.match(getFailure(await offline.createAgent().run(turn)), expected);
    assert.equal(list()[0]!.status, 'cancelled');
    const { result, options } = turn.steps.get('model#1')!;
    assert.ok(options.usage!(JSON.parse(result) as Json)!.tokens.prompt > 0);
    const rerun = new MemoryTurn({ message: 'hello', definition: limited, steps: turn.steps });
    assert.match(getFailure(await offline.createAgent().run(rerun)), expected);
  });

  test('takes longer than the working time of its turn', async () => {
    const turn = new MemoryTurn({ message: 'hello', definition, ageSeconds: 20_000 });
    assert.deepEqual(await offline.createAgent().run(turn), completed);
  });
});

describe('the API of a definition', () => {
  test('calls in the foreground without a wait', async () => {
    const turn = new MemoryTurn({ message: 'hello', definition: withModel({ background: 'never' }) });
    assert.deepEqual(await offline.createAgent().run(turn), completed);
    assert.deepEqual([...turn.steps.keys()], ['model#1']);
    assert.equal(list()[0]!.request.background, false);
  });

  test('names an agent of Google, which runs in the background without functions', async () => {
    const agent = {
      ...definitionWithoutTools,
      tools: ['ask_user'],
      model: { name: 'deep-research-preview-04-2026' },
    };
    const turn = new MemoryTurn({ message: 'hello', definition: agent });
    assert.deepEqual(await offline.createAgent().run(turn), completed);
    const { agent: name, model, background, tools } = list()[0]!.request;
    assert.deepEqual(
      [name, model, background, tools],
      ['deep-research-preview-04-2026', undefined, true, undefined],
    );
  });

  test('keeps other models on generateContent', async () => {
    const turn = new MemoryTurn({ message: 'hello', definition: definitionWithoutTools });
    assert.deepEqual(await offline.createAgent().run(turn), completed);
    assert.deepEqual([list().length, offline.model.log().length], [0, 1]);
  });

  test('sends data schemas and generation settings', async () => {
    const schema = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] };
    const structured = withModel({ temperature: 0.5, thinkingLevel: 'low' }, { responseSchema: schema });
    const turn = new MemoryTurn({ message: 'n is 3', definition: structured });
    assert.deepEqual(await offline.createAgent().run(turn), completed);
    const { response_format, generation_config } = list()[0]!.request;
    assert.deepEqual(response_format, { type: 'text', mime_type: 'application/json', schema });
    assert.deepEqual(generation_config, { temperature: 0.5, thinking_level: 'low' });
  });

  test('is used on Google Cloud too, where polls find the end', async (t) => {
    const metadata = await startMetadataServer(t);
    process.env['GCE_METADATA_HOST'] = metadata.host;
    t.after(() => delete process.env['GCE_METADATA_HOST']);
    metadata.setToken('token');
    const client = { vertexai: true, project: 'p', location: 'global', baseUrl: offline.model.url };
    const agent = offline.createAgent({ client: { ...client, projectWebhooks: true } });
    const turn = new MemoryTurn({ message: 'hello', definition });
    assert.deepEqual(await agent.run(turn), completed);
    const [{ request }] = list() as [ReturnType<typeof list>[number]];
    assert.deepEqual([request.background, request.webhook_config], [true, undefined]);
    assert.equal(request.labels!['longhaul_task'], 'task-1');
  });
});
