/** Steps that are matched by their input, and the limits of agents in code, in memory. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Agent, Turn } from 'longhaul/agent';
import { createTask } from 'longhaul/testing';

const completed = { state: 'TASK_STATE_COMPLETED' } as const;

/** Asks for each name side by side, in the order of `names`. Returns the agent and the calls that it has made. */
function createAsker(names: string[]): { agent: Agent; calls: string[] } {
  const calls: string[] = [];
  const ask = (turn: Turn, name: string): Promise<string> =>
    turn.step(
      'ask',
      async ({ idempotencyKey }) => {
        calls.push(idempotencyKey.split('/')[3] ?? '');
        return `answer to ${name}`;
      },
      { input: name, matchInput: true },
    );
  const agent: Agent = {
    run: async (turn) => {
      const answers = await Promise.all(names.map((name) => ask(turn, name)));
      await turn.step('end', async () => null);
      return { ...completed, message: answers.join() };
    },
  };
  return { agent, calls };
}

describe('a step that is matched by its input', () => {
  test('returns its record when the steps start in another order', async () => {
    const { agent, calls } = createAsker(['a', 'b', 'a']);
    const task = createTask(agent, 'go');
    await task.run({ crashAfter: 'ask#3' });
    const second = createAsker(['b', 'a', 'a']);
    task.agent = second.agent;
    await task.run();
    assert.equal(task.messageText, 'answer to b,answer to a,answer to a');
    assert.deepEqual([calls.length, second.calls.length], [3, 0]);
    assert.equal(new Set(calls).size, 2, 'the key has the input');
  });

  test('fails the task when the code asks for something else', async () => {
    const task = createTask(createAsker(['a']).agent, 'go');
    await task.run({ crashAfter: 'ask' });
    const changed = createAsker(['changed']);
    task.agent = changed.agent;
    await task.run();
    assert.match(task.messageText, /finished the step "ask" before: the agent's code has changed/);
    assert.deepEqual(changed.calls, []);
  });

  test('needs an input, and all steps of its name', async () => {
    const mixed: Agent = {
      run: async (turn) => {
        await turn.step('ask', async () => null, { input: 1, matchInput: true });
        await turn.step('ask', async () => null);
        return completed;
      },
    };
    const task = createTask(mixed, 'go');
    await task.run();
    assert.match(task.messageText, /matchInput of the step "ask" must be the same/);
    const without: Agent = {
      run: async (turn) => (await turn.step('ask', async () => null, { matchInput: true }), completed),
    };
    const other = createTask(without, 'go');
    await other.run();
    assert.match(other.messageText, /has no input/);
  });
});

test('checkSpending refuses a call when a limit of the definition is reached', async () => {
  const tokens = { prompt: 8, output: 2, cached: 0, tool: 0, thoughts: 0 };
  const agent: Agent = {
    run: async (turn) => {
      for (;;) {
        await turn.checkSpending();
        await turn.step('model', async () => null, { usage: () => ({ model: 'm', tokens, cost: 1 }) });
      }
    },
  };
  for (const [limits, limit] of [
    [{ tokens: 20 }, '20 tokens'],
    [{ cost: 2 }, 'a cost of 2'],
  ] as const) {
    const task = createTask(agent, { message: 'go', definition: { limits } });
    const run = await task.run();
    assert.deepEqual(run.ran, ['model#1', 'model#2']);
    assert.equal(
      task.messageText,
      `The turn was stopped at its limit of ${limit}. The output produced so far is kept.`,
    );
  }
});
