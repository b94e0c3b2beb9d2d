/** A turn that runs again after a crash, with the steps that its first run recorded (invariant 7). */
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { minimalDefinition as definition } from '../../support/agents/definition.ts';
import { Crash, MemoryTurn } from '../../support/agents/memory-turn.ts';
import { waitFor } from '../../support/wait-for.ts';
import { createTool, useOfflineModel } from './use-offline-model.ts';

const offline = useOfflineModel();

describe('a turn that runs again', () => {
  test('calls neither the model nor a tool twice after a crash between them', async () => {
    const message = 'Use the tool lookup with {"key": "a"}';
    const first = new MemoryTurn({ message, definition, crashAfter: 'tool:lookup#1' });
    const lookup = createTool('lookup', async () => 'it');
    const agent = offline.createAgent({ tools: [lookup] });
    await assert.rejects(agent.run(first), Crash);
    const rerun = new MemoryTurn({ message, definition, steps: first.steps });
    assert.deepEqual(await agent.run(rerun), { state: 'TASK_STATE_COMPLETED' });
    assert.equal(lookup.calls.length, 1);
    assert.equal(offline.model.log().length, 2);
    assert.deepEqual(rerun.progressMessages, []);
    assert.match(rerun.getArtifactText('answer') ?? '', /lookup returned: it/);
  });

  test('completes an answer whose last chunks were lost, without a call', async () => {
    const agent = offline.createAgent();
    const first = new MemoryTurn({ message: 'hello', definition, crashAfter: 'model#1' });
    await assert.rejects(agent.run(first), Crash);
    const completeText = first.getArtifactText('answer')!;
    const updates = first.updates.slice(0, 2);
    const rerun = new MemoryTurn({ message: 'hello', definition, steps: first.steps, updates });
    assert.notEqual(rerun.getArtifactText('answer'), completeText);
    assert.deepEqual(await agent.run(rerun), { state: 'TASK_STATE_COMPLETED' });
    assert.equal(rerun.getArtifactText('answer'), completeText);
    assert.equal(offline.model.log().length, 1);
  });

  test('replaces the text of a stream that the crash interrupted', async () => {
    offline.model.script([{ match: 'tell', reactions: [{ chunks: ['half '], unfinished: true }] }]);
    const agent = offline.createAgent();
    const stop = new AbortController();
    const first = new MemoryTurn({ message: 'tell', definition, signal: stop.signal });
    const running = agent.run(first);
    await waitFor('the first chunk', () => first.updates.length > 0);
    stop.abort(new Crash());
    await assert.rejects(running, Crash);
    const { steps, updates } = first;
    const rerun = new MemoryTurn({ message: 'tell', definition, steps, updates });
    assert.deepEqual(await agent.run(rerun), { state: 'TASK_STATE_COMPLETED' });
    assert.doesNotMatch(rerun.getArtifactText('answer') ?? '', /half/);
  });
});
