/** `longhaul/testing`: agents in memory, with the worker's own code for turns. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { textOf, type Agent, type Json, type Turn, type TurnOutcome } from 'longhaul/agent';
import {
  assertReplays,
  createTask,
  DivergenceError,
  startScriptedModel,
  type TestAgent,
} from 'longhaul/testing';
import { MemoryTask } from '../../../sdk/testing/task.ts';
import { writeAgentFile } from '../../support/agents/definition.ts';

const root = path.join(import.meta.dirname, '../../..');
const completed: TurnOutcome = { state: 'TASK_STATE_COMPLETED' };

function createAgent(run: (turn: Turn) => Promise<TurnOutcome>): Agent {
  return { run };
}

/** Fetches, stores, and writes an artifact; counts what it has run. */
function createCountingAgent() {
  const calls: string[] = [];
  const agent = createAgent(async (turn) => {
    const page = await turn.step('fetch', async () => {
      calls.push('fetch');
      return 'page';
    });
    await turn.artifact({ artifactId: 'answer', parts: [{ text: `${page} of ${turn.number}` }] });
    await turn.step('store', async ({ idempotencyKey }) => void calls.push(idempotencyKey));
    return { state: 'TASK_STATE_COMPLETED', message: 'Stored.' };
  });
  return { agent, calls };
}

describe('a task in memory', () => {
  test('has the steps, the artifacts and the end of its agent', async () => {
    const task = createTask(createCountingAgent().agent, 'hello');
    const run = await task.run();
    assert.deepEqual([run.end, run.ran], ['ended', ['fetch#1', 'store#1']]);
    assert.deepEqual(task.steps[0], { key: 'fetch#1', name: 'fetch', result: 'page', finished: true });
    assert.equal(task.getText('answer'), 'page of 1');
    assert.deepEqual([task.state, task.messageText], ['TASK_STATE_COMPLETED', 'Stored.']);
    await assert.rejects(task.run(), /has ended/);
  });

  test('continues after a crash without running a finished step again', async () => {
    for (const crashAfter of ['fetch', 'store#1']) {
      const { agent, calls } = createCountingAgent();
      const task = createTask(agent, 'hello');
      assert.equal((await task.run({ crashAfter })).end, 'crashed');
      assert.equal((await task.run()).end, 'ended');
      assert.deepEqual(calls, ['fetch', `${task.id}/1/store/0`]);
    }
  });

  test('reports a crash after a step that the turn never records', async () => {
    const task = createTask(createCountingAgent().agent, 'hello');
    await assert.rejects(
      task.run({ crashAfter: 'load' }),
      /load#1 was not recorded in this run, only fetch#1/,
    );
  });

  test('fails with the error of the worker for a result that is not JSON', async () => {
    const agent = createAgent(async (turn) => {
      await turn.step('odd', async () => (() => undefined) as never);
      return completed;
    });
    const task = createTask(agent, 'hello');
    await task.run();
    assert.equal(task.state, 'TASK_STATE_FAILED');
    assert.match(task.messageText, /"odd" is not JSON/);
  });

  test('retries an error, and fails the task after the attempts', async () => {
    const agent = createAgent(async () => {
      throw new TypeError('x is undefined');
    });
    const task = createTask(agent, { message: 'hello', maxAttempts: 2 });
    const run = await task.run();
    assert.equal(run.end, 'retrying');
    assert.match(String(run.error), /x is undefined/);
    assert.ok(run.delaySeconds! > 0);
    assert.equal((await task.run()).end, 'ended');
    assert.match(task.messageText, /Failed after 2 attempts.*x is undefined/);
  });

  test('ends sleeps at once, and waits for the answer to a callback', async () => {
    let urls: string[] = [];
    const agent = createAgent(async (turn) => {
      await turn.sleep('a month', 30 * 86_400);
      const approval = await turn.callback('approval');
      urls.push(approval.url);
      const result = await approval.result;
      return { state: 'TASK_STATE_COMPLETED', message: JSON.stringify(result) };
    });
    const task = createTask(agent, 'hello');
    const run = await task.run();
    assert.equal(run.end, 'waiting');
    assert.deepEqual(run.waits, [{ name: 'approval', kind: 'callback', url: urls[0]! }]);
    assert.throws(
      () => task.answer('other', 1),
      /No callback "other" is open. Open waits: callback "approval"/,
    );
    task.answer('approval', { yes: true });
    assert.equal((await task.run()).end, 'ended');
    assert.equal(task.messageText, '{"status":"answered","body":{"yes":true}}');
    assert.equal(new Set(urls).size, 1);
    const late = createTask(agent, 'hello');
    await late.run();
    late.timeOut('approval');
    await late.run();
    assert.equal(late.messageText, '{"status":"timed_out"}');
    const answered = createTask(agent, { message: 'hello', answers: { approval: 1 } });
    assert.equal((await answered.run()).end, 'ended');
  });

  test('gives the next turn the history of the conversation', async () => {
    const agent = createAgent(async (turn) => {
      await turn.step('count', async () => turn.number);
      if (turn.number === 1) return { state: 'TASK_STATE_INPUT_REQUIRED', message: 'Which?' };
      const { entries, earlierTurns } = await turn.readHistory();
      const text = entries.map(({ role, parts }) => `${role}: ${parts[0]?.text}`).join(', ');
      return { state: 'TASK_STATE_COMPLETED', message: `${text}, ${JSON.stringify(earlierTurns[0]?.steps)}` };
    });
    const task = createTask(agent, 'hello');
    assert.throws(() => task.send('too early'), /waits for no message/);
    await task.run();
    task.send('that one');
    await task.run();
    assert.equal(
      task.messageText,
      'user: hello, agent: Which?, [{"name":"count","occurrence":0,"result":1}]',
    );
  });

  test('restores the log of an agent that keeps its own state', async () => {
    const agent = createAgent(async (turn) => {
      const log = turn.openLog();
      for (let number = log.entries.length; number < 3; number += 1) await log.append('state', number);
      if (turn.number === 1) return { state: 'TASK_STATE_INPUT_REQUIRED', message: 'More?' };
      const earlier = await turn.readSteps(['state'], { maxTurns: 5 });
      return { state: 'TASK_STATE_COMPLETED', message: JSON.stringify(earlier.map(({ steps }) => steps)) };
    });
    const task = createTask(agent, 'hello');
    assert.deepEqual((await task.run({ crashAfter: 'state#2' })).ran, ['state#1', 'state#2']);
    assert.deepEqual((await task.run()).ran, ['state#3']);
    task.send('yes');
    await task.run();
    const [steps] = JSON.parse(task.messageText) as { occurrence: number; result: number }[][];
    assert.deepEqual(
      steps?.map(({ occurrence, result }) => [occurrence, result]),
      [
        [0, 0],
        [1, 1],
        [2, 2],
      ],
    );
  });

  test('runs a YAML agent with a scripted model', async (t) => {
    const model = await startScriptedModel([{ match: 'hello', reactions: [{ chunks: ['Hi ', 'there.'] }] }]);
    t.after(() => model.close());
    const { agent, definition } = await model.loadAgent(writeAgentFile(t, {}));
    const task = createTask(agent, { message: 'hello', definition });
    assert.equal((await task.run({ crashAfter: 'model' })).end, 'crashed');
    assert.equal((await task.run()).end, 'ended');
    assert.equal(task.getText('answer'), 'Hi there.');
    assert.equal(model.requests().length, 1);
  });
});

describe('a call of another agent in memory', () => {
  const agent = createAgent(async (turn) => {
    const earlier = (await turn.readHistory()).earlierTurns
      .at(-1)
      ?.steps.find(({ name }) => name === 'call:peer');
    const { taskId } = (earlier?.result ?? {}) as { taskId?: string };
    const { status, message } = await turn.call('peer', turn.message.parts, { taskId });
    await turn.step('after', async () => 1);
    if (status === 'input_required') return { state: 'TASK_STATE_INPUT_REQUIRED', message: [...message] };
    return { state: 'TASK_STATE_COMPLETED', message: `${status}: ${textOf(message)}` };
  });

  test('is made once, with the same id of the message in each run', async () => {
    const ids: string[] = [];
    const peer: TestAgent = ({ text, messageId, metadata }) => {
      ids.push(messageId);
      assert.deepEqual(metadata, { 'https://longhaul.dev/ext/hops/v1': 1 });
      return `you said ${text}`;
    };
    const task = new MemoryTask(agent, { message: 'hi', agents: { peer } });
    assert.equal((await task.run({ crashAfter: 'call:peer' })).end, 'crashed');
    assert.deepEqual((await task.run()).ran, ['after#1']);
    assert.equal(task.messageText, 'completed: you said hi');
    const again = task.fork(agent, 0);
    await again.run();
    assert.equal(ids.length, 2);
    assert.equal(ids[0], ids[1]);
    await assertReplays(agent, { message: 'hi', agents: { peer } });
  });

  test('asks its caller, whose answer continues the task of the other agent', async () => {
    const seen: unknown[] = [];
    const peer: TestAgent = ({ text, taskId }) => {
      seen.push([text, taskId !== undefined]);
      return taskId === undefined ? { state: 'TASK_STATE_INPUT_REQUIRED', message: 'Where?' } : `in ${text}`;
    };
    const task = createTask(agent, { message: 'the weather', agents: { peer } });
    await task.run();
    assert.deepEqual([task.state, task.messageText], ['TASK_STATE_INPUT_REQUIRED', 'Where?']);
    task.send('Oslo');
    await task.run();
    assert.equal(task.messageText, 'completed: in Oslo');
    assert.deepEqual(seen, [
      ['the weather', false],
      ['Oslo', true],
    ]);
  });

  test('is refused after too many calls in a chain, or with an invalid count', async () => {
    const run = async (hops: Json): Promise<string> => {
      const metadata = { 'https://longhaul.dev/ext/hops/v1': hops };
      const task = createTask(agent, { message: 'hi', agents: { peer: 'hello' }, metadata });
      await task.run();
      return task.messageText;
    };
    assert.equal(await run(7), 'completed: hello');
    assert.match(
      await run(8),
      /^refused: Not called: this task was started by 8 calls .* limits.hops allows 8\.$/,
    );
    assert.match(await run('x'), /^refused: .* must be a whole number from 0, not "x"\.$/);
  });

  test('fails for an agent that the definition does not have, or that has no answer', async () => {
    const unknown = createTask(agent, { message: 'hi', agents: { other: 'hello' } });
    await unknown.run();
    assert.match(
      unknown.messageText,
      /^call\("peer"\): the definition has no agent of this name: it has other\.$/,
    );
    const silent = createTask(agent, {
      message: 'hi',
      definition: { agents: { peer: { url: 'http://x' } } },
    });
    await silent.run();
    assert.match(silent.messageText, /set agents\.peer in the options of the task/);
  });
});

describe('the check of replays', () => {
  test('accepts an agent whose code outside steps is deterministic', async () => {
    const agent = createAgent(async (turn) => {
      const parts = await turn.step('list', async () => [String(Math.random()), 'b']);
      const found = await Promise.all(
        parts.map((part) => turn.step('read', async () => part + Math.random())),
      );
      await turn.sleep('pause', 60);
      await turn.artifact({ artifactId: 'answer', parts: [{ text: found.join() }] });
      const now = await turn.step('now', async () => Date.now());
      const { result } = await turn.callback('approval');
      return { state: 'TASK_STATE_COMPLETED', message: `${now} ${JSON.stringify(await result)}` };
    });
    const task = await assertReplays(agent, { message: 'hello', answers: { approval: true } });
    assert.equal(task.steps.length, 6);
  });

  const diverging: Record<string, [(turn: Turn) => Promise<string | void>, RegExp]> = {
    'a step that depends on the clock': [
      async (turn) => {
        await turn.step(`day ${new Date().getMonth()}`, async () => 1);
      },
      /reached the step day \d+#1, where the first run had reached day \d+#1/,
    ],
    'a branch on code that has run before': [
      (() => {
        let runs = 0;
        return async (turn: Turn) => {
          await turn.step('a', async () => 1);
          if (runs++ === 0) await turn.step('b', async () => 1);
        };
      })(),
      /The rerun from the start diverges: it ended, where the first run had reached b#1/,
    ],
    'an artifact with the time': [
      async (turn) => turn.artifact({ artifactId: 'answer', parts: [{ text: `${Date.now()}` }] }),
      /the artifact "answer" differs/,
    ],
    'an input with a random number': [
      async (turn) => turn.step('a', async () => undefined, { input: Math.random() }),
      /another input/,
    ],
    'a message with the time': [async () => `At ${Date.now()}`, /it ended as TASK_STATE_COMPLETED \("At/],
  };
  for (const [what, [run, message]] of Object.entries(diverging)) {
    test(`reports ${what}`, async () => {
      const agent = createAgent(async (turn) => ({
        state: 'TASK_STATE_COMPLETED',
        message: (await run(turn)) ?? 'Done.',
      }));
      await assert.rejects(assertReplays(agent, 'hello'), (error) => {
        assert.ok(error instanceof DivergenceError, String(error));
        assert.match(error.message, message);
        return true;
      });
    });
  }

  test('reports a turn that waits for an answer', async () => {
    const agent = createAgent(async (turn) => {
      await (
        await turn.callback('approval')
      ).result;
      return completed;
    });
    await assert.rejects(assertReplays(agent, 'hello'), /it is waiting, for callback "approval"/);
  });
});

describe('docs/develop/testing.md', () => {
  test('has a test that passes as it is written', async (t) => {
    const page = readFileSync(path.join(root, 'docs/develop/testing.md'), 'utf8');
    const [, code = ''] = /^```ts\n(\/\/ refunds\.test\.ts\n.*?)^```/ms.exec(page) ?? [];
    mkdirSync(path.join(root, '.longhaul'), { recursive: true });
    // In the package, so that `longhaul/testing` resolves.
    const dir = mkdtempSync(path.join(root, '.longhaul/docs-'));
    t.after(() => rmSync(dir, { recursive: true }));
    writeFileSync(path.join(dir, 'refunds.test.ts'), code);
    const env = { ...process.env };
    delete env['NODE_TEST_CONTEXT'];
    const { stdout } = await promisify(execFile)(process.execPath, ['--test', dir + '/refunds.test.ts'], {
      env,
    });
    assert.match(stdout, /pass 3\n/);
  });
});
