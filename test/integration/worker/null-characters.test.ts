/** Null characters in text from agents and callers, which PostgreSQL cannot store. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { sql } from 'kysely';
import { writeAgentFile } from '../../support/agents/definition.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';
import { startScriptedStack } from '../../support/scripted-stack.ts';

describe('a null character', () => {
  const cleanup = createSuiteCleanup();
  let stack: Awaited<ReturnType<typeof startScriptedStack>>['stack'];
  let tool: Awaited<ReturnType<typeof startScriptedStack>>['tool'];
  before(async () => {
    const AGENT_FILE = writeAgentFile(cleanup, { limits: { outageSeconds: 0 } });
    ({ stack, tool } = await startScriptedStack(cleanup, { MAX_ATTEMPTS: '2', AGENT_FILE }));
    await Promise.all([stack.start('api'), stack.start('worker')]);
  });

  async function run(text: string) {
    const { id } = await stack.submit(text);
    return stack.until(id, ({ status }) => /COMPLETED|FAILED/.test(status.state));
  }

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
