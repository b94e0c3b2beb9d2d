/** Streams of calls through the Interactions API: their text is stored once although workers and connections fail. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { JsonObject } from '#shared/domain/message.ts';
import { createCallReply, createTextReply } from '#services/local/offline-model/reply.ts';
import { Crash, MemoryTurn } from '../../../support/agents/memory-turn.ts';
import { createTool, definitionWithoutTools, useOfflineModel } from '../use-offline-model.ts';

const offline = useOfflineModel();
const withModel = (model: JsonObject): JsonObject => ({
  ...definitionWithoutTools,
  model: { name: 'gemini-3.8-flash', api: 'interactions', ...model },
});
const streamed = withModel({ background: 'always', stream: true });
const completed = { state: 'TASK_STATE_COMPLETED' };
const list = () => offline.model.interactions.list();
const words = (count: number): string[] => Array.from({ length: count }, (_, index) => `word ${index} `);
const getChunks = ({ updates }: MemoryTurn): string[] =>
  updates.flatMap(({ artifact: { parts } }) => parts.flatMap(({ text = '' }) => (text === '' ? [] : [text])));

describe('a stream in the background', () => {
  test('has each chunk once although 20 workers die and the connection breaks', async () => {
    const chunks = words(2_000);
    offline.model.script([{ match: 'write', reactions: [{ chunks }] }]);
    offline.model.interactions.cut = () => 200 + Math.floor(Math.random() * 400);
    let turn = new MemoryTurn({ message: 'write', definition: streamed, crashAfterChunk: 1 });
    for (let deaths = 0; deaths < 20; deaths += 1) {
      await assert.rejects(offline.createAgent().run(turn), Crash);
      const { steps, updates, cursors } = turn;
      const crashAfterChunk = deaths === 19 ? Infinity : 1 + Math.floor(Math.random() * 95);
      turn = new MemoryTurn({
        message: 'write',
        definition: streamed,
        steps,
        updates,
        cursors,
        crashAfterChunk,
      });
    }
    assert.deepEqual(await offline.createAgent().run(turn), completed);
    assert.equal(turn.getArtifactText('answer'), chunks.join(''));
    assert.deepEqual(getChunks(turn), chunks);
    assert.equal(list().length, 1);
    const { resumed } = offline.model.interactions;
    assert.ok(resumed.length >= 20 && !resumed.includes(undefined), `${resumed.length} streams`);
  });

  test('is written once if the worker dies behind its last chunk', async () => {
    offline.model.script([{ match: 'write', reactions: [{ chunks: words(3) }] }]);
    const first = new MemoryTurn({ message: 'write', definition: streamed, crashAfter: 'model#1' });
    await assert.rejects(offline.createAgent().run(first), Crash);
    const { steps, updates, cursors } = first;
    const rerun = new MemoryTurn({ message: 'write', definition: streamed, steps, updates, cursors });
    assert.deepEqual(await offline.createAgent().run(rerun), completed);
    assert.deepEqual(getChunks(rerun), words(3));
  });

  test('starts again if its artifact is not as the cursor says', async () => {
    offline.model.script([{ match: 'write', reactions: [{ chunks: words(30) }] }]);
    const first = new MemoryTurn({ message: 'write', definition: streamed, crashAfterChunk: 10 });
    await assert.rejects(offline.createAgent().run(first), Crash);
    const { steps, updates, cursors } = first;
    updates.pop();
    const rerun = new MemoryTurn({ message: 'write', definition: streamed, steps, updates, cursors });
    assert.deepEqual(await offline.createAgent().run(rerun), completed);
    assert.equal(rerun.getArtifactText('answer'), words(30).join(''));
  });

  test('comes whole at the end if it cannot be read', async () => {
    offline.model.interactions.fail({ method: 'stream', status: 500, times: 100 });
    offline.model.interactions.cut = () => 4;
    offline.model.script([{ match: 'write', reactions: [{ chunks: words(3) }] }]);
    const turn = new MemoryTurn({ message: 'write', definition: streamed });
    assert.deepEqual(await offline.createAgent().run(turn), completed);
    assert.equal(turn.getArtifactText('answer'), words(3).join(''));
  });

  test('continues after function calls with a new text', async () => {
    offline.responder = ({ contents }) => {
      const answered = contents.some(({ parts = [] }) => parts.some((part) => part.functionResponse));
      if (answered)
        return createTextReply('The final text, which is long enough that it is not held back any more.');
      const [call] = createCallReply([{ name: 'tool', args: {} }]).pieces;
      return { pieces: [...words(20).map((text) => ({ text })), call!] };
    };
    const tools = [createTool('tool', async () => 'done')];
    const turn = new MemoryTurn({ message: 'go', definition: streamed });
    assert.deepEqual(await offline.createAgent({ tools }).run(turn), completed);
    assert.match(turn.getArtifactText('answer')!, /^The final text/);
    assert.ok(getChunks(turn).some((text) => text.startsWith('word 0')));
  });
});

describe('a stream in the foreground', () => {
  test('arrives piece by piece, even over broken connections', async () => {
    offline.model.interactions.cut = () => 10;
    offline.model.script([{ match: 'write', reactions: [{ chunks: words(50) }] }]);
    const turn = new MemoryTurn({ message: 'write', definition: withModel({ background: 'never' }) });
    assert.deepEqual(await offline.createAgent().run(turn), completed);
    assert.equal(turn.getArtifactText('answer'), words(50).join(''));
    assert.ok(turn.updates.length > 10, `${turn.updates.length} chunks`);
    assert.equal(list().length, 1);
  });

  test('is repeated if it ends too early', async () => {
    offline.model.interactions.cut = () => 5;
    offline.model.interactions.fail({ method: 'stream', status: 503, times: 3 });
    offline.model.script([{ match: 'write', reactions: [{ chunks: words(9) }, { chunks: words(4) }] }]);
    const turn = new MemoryTurn({ message: 'write', definition: withModel({ background: 'never' }) });
    assert.deepEqual(await offline.createAgent().run(turn), completed);
    assert.equal(turn.getArtifactText('answer'), words(4).join(''));
    assert.equal(list().length, 2);
  });
});
