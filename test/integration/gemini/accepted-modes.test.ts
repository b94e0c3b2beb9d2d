/** The files that tools return, and the media types that the caller accepts. */
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import type { JsonObject } from '#shared/domain/message.ts';
import { OutputWithFiles } from '#services/worker/agent/gemini/tools/tool.ts';
import { MemoryTurn } from '../../support/agents/memory-turn.ts';
import { createTool, definitionWithoutTools as definition, useOfflineModel } from './use-offline-model.ts';

const offline = useOfflineModel();
const chart = { mediaType: 'image/png', data: 'aGk=', filename: 'chart.png' };
const sound = { mediaType: 'audio/wav', data: 'aGk=' };
const image = { inlineData: { mimeType: 'image/png', data: 'aGk=' } };
const audio = { inlineData: { mimeType: 'audio/wav', data: 'aGk=' } };
const beforeGemini3 = { ...definition, model: { name: 'gemini-2.5-flash' } };

const createDrawingAgent = () =>
  offline.createAgent({
    tools: [createTool('draw', async () => new OutputWithFiles('drawn', [chart, sound]))],
  });

describe('the files that a tool returns', () => {
  async function draw(taskDefinition: JsonObject) {
    offline.model.script([{ match: 'draw', reactions: [{ functionCall: { name: 'draw' } }] }]);
    const turn = new MemoryTurn({ message: 'draw', definition: taskDefinition });
    assert.deepEqual(await createDrawingAgent().run(turn), { state: 'TASK_STATE_COMPLETED' });
    const [response, ...following] = offline.requests[0]!.contents[2]!.parts!;
    return { turn, response: response?.functionResponse, following };
  }

  test('become an artifact for the user', async () => {
    const [artifact] = (await draw(definition)).turn.artifacts;
    assert.equal(artifact?.name, 'draw');
    assert.deepEqual(artifact?.parts, [
      { raw: 'aGk=', mediaType: 'image/png', filename: 'chart.png' },
      { raw: 'aGk=', mediaType: 'audio/wav' },
    ]);
  });

  test('go to the model within the response, except for sound', async () => {
    const { response, following } = await draw(definition);
    assert.deepEqual(response?.response, { output: 'drawn' });
    assert.deepEqual(response?.parts, [image]);
    assert.deepEqual(following, [audio]);
  });

  test('go to models before Gemini 3 after the response', async () => {
    const { response, following } = await draw(beforeGemini3);
    assert.equal(response?.parts, undefined);
    assert.deepEqual(following, [image, audio]);
  });
});

describe('the accepted output modes', () => {
  async function answer(acceptedOutputModes: string[], more: JsonObject = {}) {
    const turn = new MemoryTurn({
      message: 'a',
      definition: { ...definition, ...more },
      acceptedOutputModes,
    });
    await offline.createAgent().run(turn);
    return turn.artifacts[0]?.parts;
  }

  for (const modes of [[], ['text/plain', 'image/*'], ['*/*']]) {
    test(`let an image pass if they are [${modes.join()}]`, async () => {
      offline.responder = () => ({ pieces: [{ text: 'Look: ' }, image] });
      assert.deepEqual(await answer(modes), [{ text: 'Look: ' }, { raw: 'aGk=', mediaType: 'image/png' }]);
    });
  }

  test('replace an image by a note if they include no images', async () => {
    offline.responder = () => ({ pieces: [{ text: 'Look: ' }, image] });
    assert.deepEqual(await answer(['text/plain;charset=utf-8']), [
      { text: 'Look: ' },
      {
        text: '[A file of type image/png was omitted because the accepted output modes do not include it.]',
        metadata: { leftOut: 'image/png' },
      },
    ]);
  });

  test('keep data as data if they include JSON', async () => {
    offline.responder = () => ({ pieces: [{ text: '{"a":1}' }] });
    const parts = await answer(['application/json'], { responseSchema: { type: 'object' } });
    assert.deepEqual(parts, [{ data: { a: 1 }, mediaType: 'application/json' }]);
  });

  test('turn data into text if they include no JSON', async () => {
    offline.responder = () => ({ pieces: [{ text: '{"a":1}' }] });
    const parts = await answer(['text/plain'], { responseSchema: { type: 'object' } });
    assert.deepEqual(parts, [{ text: '{"a":1}', mediaType: 'text/plain' }]);
  });

  const onlyJson = { message: 'Write to ann@x.example.', acceptedOutputModes: ['application/json'] };

  test('request data from the model if they include only JSON', async () => {
    const turn = new MemoryTurn({ ...onlyJson, definition });
    assert.deepEqual(await offline.createAgent().run(turn), { state: 'TASK_STATE_COMPLETED' });
    assert.equal(offline.requests[0]?.generationConfig?.responseMimeType, 'application/json');
    assert.match(JSON.stringify(turn.artifacts[0]?.parts[0]?.data), /ann@x\.example/);
  });

  test('request no data from a model before Gemini 3 that has functions', async () => {
    await createDrawingAgent().run(new MemoryTurn({ ...onlyJson, definition: beforeGemini3 }));
    assert.equal(offline.requests[0]?.generationConfig?.responseMimeType, undefined);
  });
});
