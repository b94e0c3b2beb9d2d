/** Output of agents in code that no client could read, and null characters in text, which PostgreSQL cannot store. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { sql } from 'kysely';
import { writeAgentFile } from '../../support/agents/definition.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { startScriptedStack } from '../../support/services/scripted-stack.ts';
import type { Stack, TaskJson } from '../../support/stack.ts';
import type { Receiver } from '../../support/webhooks/receiver.ts';

const cleanup = createSuiteCleanup();
let stack: Stack;
let tool: Receiver;
before(async () => {
  const AGENT_FILE = writeAgentFile(cleanup, { limits: { outageSeconds: 0 } });
  ({ stack, tool } = await startScriptedStack(cleanup, { MAX_ATTEMPTS: '2', AGENT_FILE }));
  await Promise.all([stack.start('api'), stack.start('worker')]);
});

async function run(script: string): Promise<TaskJson> {
  const { id } = await stack.submit(script);
  return stack.until(id, ({ status }) => /COMPLETED|FAILED/.test(status.state));
}

describe('an agent in code', () => {
  async function runToEnd(script: string) {
    const task = await run(script);
    const { rows } = await stack.pool.query<{ fence: number }>('select fence from gates where task_id = $1', [
      task.id,
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
    ['end {state: "TASK_STATE_WORKING"}', 'TASK_STATE_CANCELED, not "TASK_STATE_WORKING"'],
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
      const { task, fence, text } = await runToEnd(`output ${script}`);
      assert.equal(task.status.state, 'TASK_STATE_FAILED');
      assert.ok(text.includes(field), text);
      assert.equal(fence, 2, 'one claim and the end');
      assert.deepEqual(task.artifacts ?? [], []);
    });
  }

  test('may leave an artifact open, which is then closed with all its content', async () => {
    const { task } = await runToEnd('output part {text: "all of it"}');
    assert.equal(task.status.state, 'TASK_STATE_COMPLETED');
    assert.equal(task.artifacts?.[0]?.parts[0]?.text, 'all of it');
  });
});

describe('a null character', () => {
  test('in an error and in the name of a step does not hide the reason of the failure', async () => {
    const { status } = await run('step o\0ne\nthrow no such\0luck');
    assert.equal(status.state, 'TASK_STATE_FAILED');
    assert.match(status.message.parts[0].text, /Last error: no such.luck/);
    assert.equal(tool.received.length, 1, 'the finished step is found by its name');
  });

  test('in a fatal message, the name of a file and an answer is stored', async () => {
    assert.match((await run('fail no\0no')).status.message.parts[0].text, /^no.no$/);
    assert.equal((await run('file 300000 pl\0ot.png')).status.state, 'TASK_STATE_COMPLETED');
    assert.equal((await run('say hel\0lo')).artifacts![0]!.parts[0]!.text, 'hel\0lo');
  });

  for (const [name, more] of [
    ['the id of a message', { message: { messageId: `m\0${randomUUID()}` } }],
    ['a tenant', { tenant: 'r\0ed' }],
    ['metadata', { metadata: { 'a\0': 'b\0' } }],
  ] as const) {
    test(`in ${name} of a request does not fail the service`, async () => {
      const { message, ...others } = { message: {}, ...more };
      const answer = await stack.rpc('SendMessage', {
        message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'say hi' }], ...message },
        ...others,
      });
      assert.ok(answer.error === undefined || answer.error.code !== -32_603, JSON.stringify(answer));
    });
  }
});

describe('a statement', () => {
  const text = 'a\0b';
  const stored = 'a\uFFFDb';

  test('gets text without null characters, prepared or not, alone or in arrays', async () => {
    const { db } = await connectToTestDatabase();
    for (const marker of ['', '-- prepared\n']) {
      const { rows } = await sql<{ one: string; many: string[]; data: unknown }>`${sql.raw(marker)}
        select ${text}::text as one, ${[text, 'c', null]}::text[] as many, ${JSON.stringify({ text })}::json as data
      `.execute(db);
      assert.deepEqual(rows, [{ one: stored, many: [stored, 'c', null], data: { text } }]);
    }
  });
});
