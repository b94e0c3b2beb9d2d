/** Answers that must be data: repaired, checked against the schema, and asked for again. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ScriptRule } from '#services/local/offline-model/script.ts';
import { MemoryTurn } from '../../support/agents/memory-turn.ts';
import { definitionWithoutTools, getFailure, useOfflineModel } from './use-offline-model.ts';

type Reaction = ScriptRule['reactions'][number];

const offline = useOfflineModel();
const definition = {
  ...definitionWithoutTools,
  outputModes: ['application/json'],
  responseSchema: { type: 'object', properties: { total: { type: 'number' } }, required: ['total'] },
};

async function runScripted(reactions: Reaction[], repeat = false) {
  offline.model.script([{ match: '', reactions, repeat }]);
  const turn = new MemoryTurn({ message: 'add it up', definition });
  return { turn, outcome: await offline.createAgent().run(turn) };
}

describe('an answer as data', () => {
  test('is read from a code block', async () => {
    const { turn, outcome } = await runScripted([{ chunks: ['```json\n{"total": 3}\n```'] }]);
    assert.deepEqual(outcome, { state: 'TASK_STATE_COMPLETED' });
    assert.deepEqual(turn.artifacts[0]?.parts, [{ data: { total: 3 }, mediaType: 'application/json' }]);
  });

  for (const [name, text, hint] of [
    ['is not JSON', 'three', /not valid JSON/],
    ['does not match the schema', '{"total": "three"}', /total must be number/],
  ] as const) {
    test(`is asked for again with the error if it ${name}`, async () => {
      const { turn, outcome } = await runScripted([{ chunks: [text] }]);
      assert.deepEqual(outcome, { state: 'TASK_STATE_COMPLETED' });
      const answer = turn.artifacts[0]?.parts[0]?.data as { total: unknown };
      assert.equal(typeof answer.total, 'number');
      const [sent] = offline.requests;
      assert.deepEqual(sent?.contents.at(-2)?.parts, [{ text }]);
      assert.match(JSON.stringify(sent?.contents.at(-1)), hint);
    });
  }

  test('fails the turn if it stays wrong, and its text is kept', async () => {
    const { turn, outcome } = await runScripted([{ chunks: ['{"total": "three"}'] }], true);
    assert.match(getFailure(outcome), /does not match the response schema: .*total must be number.*kept/);
    assert.equal(turn.getArtifactText('answer'), '{"total": "three"}');
    assert.deepEqual(turn.artifacts[0]?.metadata, { invalid: true });
    assert.equal(offline.model.log().length, 4);
  });

  test('fails the turn at once if it was cut, and its text is kept', async () => {
    const cut = { chunks: ['{"total": '], finishReason: 'MAX_TOKENS' };
    const { turn, outcome } = await runScripted([cut], true);
    assert.match(getFailure(outcome), /cut at its limit of output tokens/);
    assert.equal(turn.getArtifactText('answer'), '{"total": ');
    assert.equal(offline.model.log().length, 1);
  });
});
