/** Calls that are held until their task has ended or asks, by a service that holds them for a minute. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Db } from '#shared/db/client/pool.ts';
import { knowsTasks, type Json, type McpAnswer, type McpOptions } from '../../../support/clients/mcp.ts';
import { playTurn } from '../../../support/database/tasks.ts';
import { waitFor } from '../../../support/wait-for.ts';

export interface HoldingRig {
  call: (method: string, params: Json, options?: McpOptions) => Promise<McpAnswer>;
  getDb: () => Db;
  getSkill: () => string;
}

export function testHeldCalls({ call, getDb, getSkill }: HoldingRig): void {
  const callTool = (name: string, args: Json, options: McpOptions = {}): Promise<McpAnswer> =>
    call('tools/call', { name, arguments: args }, options);

  test('returns the result of a task that ends while the call is held', async () => {
    const meta = { progressToken: 'p1', 'dev.longhaul/idempotencyKey': 'held' };
    const answer = callTool(getSkill(), { text: 'hold on' }, { meta });
    const taskId = await findTask('mcp-key:held');
    const turn = await playTurn(getDb(), taskId);
    await turn.progress('half of it');
    await turn.artifact([
      { text: 'all of it' },
      { url: 'https://files.example/a.pdf', mediaType: 'application/pdf' },
    ]);
    await turn.end({ state: 'TASK_STATE_COMPLETED' });
    const { result, notifications } = await answer;
    assert.deepEqual(result.content, [
      { type: 'text', text: 'all of it' },
      {
        type: 'resource_link',
        uri: 'https://files.example/a.pdf',
        name: 'a.pdf',
        mimeType: 'application/pdf',
      },
    ]);
    assert.equal(result.structuredContent.state, 'completed');
    assert.equal(result.isError, undefined);
    const messages = notifications.map(({ params }: Json) => [params.progressToken, params.message]);
    assert.ok(
      messages.some(([token, text]) => token === 'p1' && text === 'half of it'),
      JSON.stringify(messages),
    );
    const counts = notifications.map(({ params }: Json) => params.progress);
    assert.deepEqual(
      counts,
      counts.toSorted((a: number, b: number) => a - b),
    );
  });

  /** Returns the task of a held call. */
  const findTask = (messageId: string): Promise<string> =>
    waitFor('the task', async () => {
      const sends = getDb().selectFrom('sends').select('task_id').where('message_id', '=', messageId);
      return (await sends.executeTakeFirst())?.task_id;
    });

  test('waits in get_task until the task ends', async () => {
    const start = { name: getSkill(), arguments: { text: 'wait' } };
    const { taskId } = (await call('tools/call', start, { capabilities: knowsTasks })).result;
    const waiting = callTool('get_task', { taskId, waitSeconds: 60 });
    const turn = await playTurn(getDb(), taskId);
    await turn.end({ state: 'TASK_STATE_FAILED', message: 'It cannot be done.' });
    const { result } = await waiting;
    assert.equal(result.isError, true);
    assert.equal(result.content[0].text, 'It cannot be done.');
    // It has ended.
    const again = await callTool('get_task', { taskId, waitSeconds: 60 });
    assert.deepEqual(again.result.content, result.content);
  });

  test('asks in the answer of a held call, and takes the response with its retry', async () => {
    const options = { capabilities: { elicitation: {} }, meta: { 'dev.longhaul/idempotencyKey': 'asking' } };
    const asking = callTool(getSkill(), { text: 'ask' }, options);
    const taskId = await findTask('mcp-key:asking');
    await (
      await playTurn(getDb(), taskId)
    ).end({ state: 'TASK_STATE_INPUT_REQUIRED', message: 'Which one?' });
    const { result } = await asking;
    assert.equal(result.resultType, 'input_required');
    const [key = ''] = Object.keys(result.inputRequests);
    assert.equal(result.inputRequests[key].params.message, 'Which one?');
    const params = {
      name: getSkill(),
      arguments: { text: 'ask' },
      requestState: result.requestState,
      inputResponses: { [key]: { action: 'accept', content: { answer: 'The red one' } } },
    };
    const forms = { capabilities: { elicitation: {} } };
    const wrong = { ...params, inputResponses: { other: { action: 'accept', content: {} } } };
    const again = await call('tools/call', wrong, forms);
    assert.deepEqual(again.result.inputRequests, result.inputRequests);
    const dismissed = { ...params, inputResponses: { [key]: { action: 'cancel' } } };
    assert.equal(
      (await call('tools/call', dismissed, forms)).result.structuredContent.state,
      'input-required',
    );
    const continuing = call('tools/call', params, forms);
    await waitFor('the answer', async () => (await readMessages(taskId)).length === 2);
    await call('tools/call', { name: 'cancel_task', arguments: { taskId } }, {});
    const continued = await continuing;
    assert.equal(continued.result.structuredContent.taskId, taskId);
    assert.deepEqual(await readMessages(taskId), ['ask', 'The red one']);
  });

  /** Returns the texts that the user has sent. */
  async function readMessages(taskId: string): Promise<string[]> {
    const found = await getDb()
      .selectFrom('messages')
      .select('message')
      .where('task_id', '=', taskId)
      .where('role', '=', 'user')
      .orderBy('turn')
      .execute();
    return found.map(({ message }) => (message as Json).parts.at(-1).text);
  }

  test('waits in tasks/result of 2025-11-25 until the task ends', async () => {
    const options = { revision: '2025-11-25' };
    const start = { name: getSkill(), arguments: { text: 'wait' }, task: {} };
    const { taskId } = (await call('tools/call', start, options)).result.task;
    const waiting = call('tasks/result', { taskId }, options);
    const turn = await playTurn(getDb(), taskId);
    await turn.artifact([{ text: 'done' }]);
    await turn.end({ state: 'TASK_STATE_COMPLETED' });
    assert.equal((await waiting).result.content[0].text, 'done');
  });
}
