/** A gateway before an agent of ADK for TypeScript, which is served by ADK's own A2A module and keeps its tasks in memory. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { assertDelivered, getText, startGateway, startUpstream } from '../../support/agents/gateways.ts';
import { isCompleted } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

test('an ADK agent that is killed in the middle completes the task', async (t) => {
  const agent = await startUpstream(t, path.join(import.meta.dirname, 'adk-agent.ts'), {
    NODE_OPTIONS: process.env['NODE_OPTIONS'] ?? '',
    FRAMEWORKS: process.env['FRAMEWORKS'] ?? '',
  });
  const { stack, receiver, submit } = await startGateway(t, { url: agent.url });
  await stack.start('worker');
  const { id } = await submit('Hello');
  await stack.until(id, (task) => getText(task).startsWith('hello '));
  await agent.restart();
  const done = await waitFor('the end of the task', async () => {
    await agent.release();
    const { result } = await stack.rpc('GetTask', { id });
    return isCompleted(result) && result;
  });
  assert.match(getText(done), /^hello world/);
  await assertDelivered(stack, receiver, id);
});
