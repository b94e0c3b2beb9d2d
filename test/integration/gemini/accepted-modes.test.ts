/** What reaches the caller: files that tools return, and the media types that the caller accepts. */
import { after, before, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import type { JsonObject } from '#shared/domain/message.ts';
import { respond } from '#services/local/offline-model/responder.ts';
import { startOfflineModel, type OfflineModel } from '#services/local/offline-model/server.ts';
import type { Reply } from '#services/local/offline-model/reply.ts';
import type { GenerateRequest } from '#services/local/offline-model/wire.ts';
import { createGeminiAgent } from '#services/worker/agent/gemini/agent.ts';
import { OutputWithFiles, type Tool } from '#services/worker/agent/gemini/tools/tool.ts';
import { leastDefinition } from '../../support/agents/definition.ts';
import { MemoryTurn } from '../../support/agents/memory-turn.ts';

const definition: JsonObject = { ...leastDefinition, tools: [] };
const chart = { mediaType: 'image/png', data: 'aGk=', filename: 'chart.png' };
const sound = { mediaType: 'audio/wav', data: 'aGk=' };
const draw: Tool = {
  declaration: { name: 'draw' },
  call: async () => new OutputWithFiles('drawn', [chart, sound]),
};

let offline: OfflineModel;
let asked: GenerateRequest[];
let responder: (request: GenerateRequest) => Reply | Promise<Reply>;

before(async () => {
  offline = await startOfflineModel({
    port: 0,
    responder: (request) => {
      asked.push(request);
      return responder(request);
    },
  });
});
beforeEach(() => {
  offline.reset();
  asked = [];
  responder = respond;
});
after(() => offline.close());

const agent = (...tools: Tool[]) =>
  createGeminiAgent({ client: { apiKey: 'any', baseUrl: offline.url }, tools });

test('files that a tool returns go to the model within the response, and to the user as an artifact', async () => {
  const reactions = [{ functionCall: { name: 'draw' } }];
  offline.script(['new', 'old'].map((match) => ({ match, reactions })));
  const turn = new MemoryTurn({ message: 'new', definition });
  assert.deepEqual(await agent(draw).run(turn), { state: 'TASK_STATE_COMPLETED' });
  const [artifact] = turn.artifacts;
  assert.equal(artifact?.name, 'draw');
  assert.deepEqual(artifact?.parts, [
    { raw: 'aGk=', mediaType: 'image/png', filename: 'chart.png' },
    { raw: 'aGk=', mediaType: 'audio/wav' },
  ]);
  const image = { inlineData: { mimeType: 'image/png', data: 'aGk=' } };
  const audio = { inlineData: { mimeType: 'audio/wav', data: 'aGk=' } };
  const [response, ...beside] = asked[0]!.contents[2]!.parts!;
  assert.deepEqual(response?.functionResponse?.response, { output: 'drawn' });
  assert.deepEqual(response?.functionResponse?.parts, [image]);
  assert.deepEqual(beside, [audio]);

  // Models before Gemini 3 take no files within a response.
  const older = new MemoryTurn({
    message: 'old',
    definition: { ...definition, model: { name: 'gemini-2.5-flash' } },
  });
  await agent(draw).run(older);
  const [bare, ...all] = asked[1]!.contents[2]!.parts!;
  assert.equal(bare?.functionResponse?.parts, undefined);
  assert.deepEqual(all, [image, audio]);
});

test('a caller who accepts no images is told of them, one who takes no JSON gets it as text', async () => {
  const picture = { inlineData: { mimeType: 'image/png', data: 'aGk=' } };
  responder = () => ({ pieces: [{ text: 'Look: ' }, picture] });
  const answerTo = async (acceptedOutputModes: string[], more: JsonObject = {}) => {
    const turn = new MemoryTurn({
      message: 'a',
      definition: { ...definition, ...more },
      acceptedOutputModes,
    });
    await agent().run(turn);
    return turn.artifacts[0]?.parts;
  };
  const both = [{ text: 'Look: ' }, { raw: 'aGk=', mediaType: 'image/png' }];
  assert.deepEqual(await answerTo([]), both);
  assert.deepEqual(await answerTo(['text/plain', 'image/*']), both);
  assert.deepEqual(await answerTo(['*/*']), both);
  assert.deepEqual(await answerTo(['text/plain;charset=utf-8']), [
    { text: 'Look: ' },
    {
      text: '[A file of the type image/png was left out: it is not among the accepted output modes.]',
      metadata: { leftOut: 'image/png' },
    },
  ]);
  responder = () => ({ pieces: [{ text: '{"a":1}' }] });
  const responseSchema = { type: 'object' };
  assert.deepEqual(await answerTo(['application/json'], { responseSchema }), [
    { data: { a: 1 }, mediaType: 'application/json' },
  ]);
  assert.deepEqual(await answerTo(['text/plain'], { responseSchema }), [
    { text: '{"a":1}', mediaType: 'text/plain' },
  ]);
});

test('a caller who accepts nothing but JSON gets data, where the model can answer so', async () => {
  const accepting = { message: 'Write to ann@x.example.', acceptedOutputModes: ['application/json'] };
  const turn = new MemoryTurn({ ...accepting, definition });
  assert.deepEqual(await agent().run(turn), { state: 'TASK_STATE_COMPLETED' });
  assert.equal(asked[0]?.generationConfig?.responseMimeType, 'application/json');
  assert.match(JSON.stringify(turn.artifacts[0]?.parts[0]?.data), /ann@x\.example/);
  // Before Gemini 3 a model with functions cannot.
  const model = { name: 'gemini-2.5-flash' };
  await agent(draw).run(new MemoryTurn({ ...accepting, definition: { ...definition, model } }));
  assert.equal(asked[1]?.generationConfig?.responseMimeType, undefined);
});
