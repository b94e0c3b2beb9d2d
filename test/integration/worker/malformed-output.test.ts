/** Output of agents in code that no client could read: the turn fails at once, and nothing of it is stored. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { startScriptedStack } from '../../support/scripted-stack.ts';
import type { Stack } from '../../support/stack.ts';

const ended = /COMPLETED|FAILED/;

describe('an agent in code', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  before(async () => {
    ({ stack } = await startScriptedStack(cleanup));
    await Promise.all([stack.start('api'), stack.start('worker')]);
  });

  async function run(script: string) {
    const { id } = await stack.submit(script);
    const task = await stack.until(id, ({ status }) => ended.test(status.state));
    const { rows } = await stack.pool.query<{ fence: number }>('select fence from gates where task_id = $1', [
      id,
    ]);
    return { task, fence: rows[0]!.fence, text: task.status.message?.parts[0].text as string };
  }

  for (const [script, field] of [
    ['artifact {artifactId: "a", parts: [{}]}', 'artifact.parts[0]: must have exactly one of'],
    ['artifact {artifactId: "a", parts: [{text: null}]}', 'artifact.parts[0].text: must be a text, not null'],
    ['artifact {artifactId: "a", parts: ["hello"]}', 'artifact.parts[0]: must be an object, not "hello"'],
    [
      'artifact {parts: [{text: "x"}]}',
      'artifact.artifactId: must be a text that is not empty, not undefined',
    ],
    ['artifact {artifactId: "a\\0b", parts: [{text: "x"}]}', 'artifact.artifactId: must have only printable'],
    ['part {kind: "text", text: "x"}', 'part.kind: unknown field (expected one of text, raw,'],
    ['progress undefined', 'progress: must be a text or a list of parts, not undefined'],
    ['step 1n', 'The result of the step "odd" is not JSON: Do not know how to serialize a BigInt'],
    ['step (() => 1)', 'The result of the step "odd" is not JSON: it is a function'],
    ['end {state: "completed"}', 'state: must be one of TASK_STATE_COMPLETED, TASK_STATE_INPUT_REQUIRED'],
    ['end {state: "TASK_STATE_WORKING"}', 'TASK_STATE_FAILED, not "TASK_STATE_WORKING"'],
    [
      'end {state: "TASK_STATE_COMPLETED", messages: "x"}',
      'messages: unknown field (did you mean "message"?)',
    ],
    ['end {state: "TASK_STATE_COMPLETED", message: [{}]}', 'message[0]: must have exactly one of'],
    ['end {state: "TASK_STATE_INPUT_REQUIRED"}', 'message: must be a text or a list of parts, not undefined'],
    [
      'end {direct: [{text: "x", data: 1}]}',
      'direct[0]: must have exactly one of text, raw, url, data, but has',
    ],
    ['end "done"', 'the result of run: must be an object, not "done"'],
  ] as const) {
    test(`fails its task at once: ${script}`, async () => {
      const { task, fence, text } = await run(`output ${script}`);
      assert.equal(task.status.state, 'TASK_STATE_FAILED');
      assert.ok(text.includes(field), text);
      assert.equal(fence, 2, 'one claim and the end');
      assert.deepEqual(task.artifacts ?? [], []);
    });
  }

  test('may leave an artifact open, which is then closed with all its content', async () => {
    const { task } = await run('output part {text: "all of it"}');
    assert.equal(task.status.state, 'TASK_STATE_COMPLETED');
    assert.equal(task.artifacts?.[0]?.parts[0]?.text, 'all of it');
  });
});
