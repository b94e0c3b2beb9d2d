/** `defineAgent` and `defineTool`: the types are checked by the compiler, the values here. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defineAgent, textOf } from 'longhaul/agent';
import { defineTool } from 'longhaul/tools';
import { createTask } from 'longhaul/testing';

const call = { idempotencyKey: 'key', signal: new AbortController().signal };

describe('defineTool', () => {
  test('types the arguments by the schema', async () => {
    const tool = defineTool({
      name: 'order',
      description: 'Orders.',
      parameters: {
        type: 'object',
        properties: {
          article: { type: 'string' },
          count: { type: 'integer' },
          size: { enum: ['s', 'm'] },
          tags: { type: 'array', items: { type: 'string' } },
          to: { type: 'object', properties: { city: { type: ['string', 'null'] } }, required: ['city'] },
        },
        required: ['article', 'count'],
      },
      run: async ({ article, count, size, tags, to }) => {
        const text: string = article.toUpperCase();
        const exact: 's' | 'm' | undefined = size;
        const city: string | null | undefined = to?.city;
        // @ts-expect-error -- an optional property may be missing
        const first: string = tags[0];
        return [text, count.toFixed(1), exact ?? null, city ?? null, first];
      },
    });
    const args = { article: 'a', count: 2, size: 's', tags: ['t'], to: { city: null } };
    assert.deepEqual(await tool.run(args, call), ['A', '2.0', 's', null, 't']);
    assert.equal(tool.parameters?.['type'], 'object');
  });
});

describe('defineAgent', () => {
  test('returns an agent that runs', async () => {
    const agent = defineAgent({
      run: async (turn) => ({ state: 'TASK_STATE_COMPLETED', message: textOf(turn.message.parts) }),
    });
    const task = createTask(agent, 'hello');
    await task.run();
    assert.equal(task.messageText, 'hello');
  });
});

describe('turn.version', () => {
  const before = defineAgent({
    run: async (turn) => {
      await turn.step('read', async () => 1);
      await turn.step('ask', async () => 1);
      await turn.step('store', async () => 1);
      return { state: 'TASK_STATE_COMPLETED', message: 'before' };
    },
  });
  /** Renames the step `ask`. */
  const after = defineAgent({
    run: async (turn) => {
      await turn.step('read', async () => 1);
      const isNew = await turn.version('ask twice');
      await turn.step(isNew ? 'ask twice' : 'ask', async () => 1);
      assert.equal(await turn.version('ask twice'), isNew, 'all answers of a turn are the same');
      await turn.step('store', async () => 1);
      return { state: 'TASK_STATE_COMPLETED', message: isNew ? 'after' : 'before' };
    },
  });

  async function runAcross(crashAfter: string, ...agents: [typeof before, ...(typeof before)[]]) {
    const [first, ...others] = agents;
    const task = createTask(first, 'hello');
    await task.run({ crashAfter });
    for (const agent of others) {
      task.agent = agent;
      await task.run();
    }
    return task;
  }

  test('keeps turns on the old code that have passed the change, and moves others', async () => {
    const cases = { read: 'after', ask: 'before', store: 'before' };
    for (const [crashAfter, expected] of Object.entries(cases)) {
      const task = await runAcross(crashAfter, before, after);
      assert.deepEqual([task.state, task.messageText], ['TASK_STATE_COMPLETED', expected], crashAfter);
    }
  });

  test('repeats its answer in every run of the turn', async () => {
    for (const crashAfter of ['read', 'version:ask twice', 'ask twice', 'store']) {
      const task = await runAcross(crashAfter, after, after);
      assert.equal(task.messageText, 'after', crashAfter);
    }
  });

  test('may be removed with the old code', async () => {
    const removed = defineAgent({
      run: async (turn) => {
        for (const name of ['read', 'ask twice', 'store']) await turn.step(name, async () => 1);
        return { state: 'TASK_STATE_COMPLETED', message: 'removed' };
      },
    });
    for (const crashAfter of ['version:ask twice', 'ask twice', 'store']) {
      assert.equal((await runAcross(crashAfter, after, removed)).messageText, 'removed', crashAfter);
    }
  });

  test('is named by the error of a turn whose code has changed without it', async () => {
    const changed = defineAgent({
      run: async (turn) => {
        await turn.step('other', async () => 1);
        return { state: 'TASK_STATE_COMPLETED' };
      },
    });
    const task = await runAcross('read', before, changed);
    assert.equal(task.state, 'TASK_STATE_FAILED');
    assert.match(
      task.messageText,
      /finished the step "read" before.*turn\.version \(docs\/develop\/versions\.md\)\.$/,
    );
  });

  test('reserves the names of its steps', async () => {
    const agent = defineAgent({
      run: async (turn) => {
        await turn.step('version:x', async () => 1);
        return { state: 'TASK_STATE_COMPLETED' };
      },
    });
    const task = createTask(agent, 'hello');
    await task.run();
    assert.match(task.messageText, /names that start with "version:" are of turn\.version/);
  });
});
