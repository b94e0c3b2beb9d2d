/** Gateways whose workers, and the agents behind them, are killed in the middle of tasks. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  assertDelivered,
  getText,
  readChunks,
  startGateway,
  startUpstream,
} from '../../support/agents/gateways.ts';
import { startScriptedStack } from '../../support/services/scripted-stack.ts';
import { isCompleted } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

const sdkAgent = 'test/support/agents/sdk-agent-main.ts';

describe('a gateway whose worker is killed', () => {
  test('stores no chunk twice and loses none', async (t) => {
    const agent = await startUpstream(t, sdkAgent, { NOTIFIES: '1' });
    const { stack, receiver, submit } = await startGateway(t, { url: agent.url });
    const first = await stack.start('worker');
    const { id } = await submit('half');
    await stack.until(id, (task) => getText(task) === 'hello ');
    await first.kill();
    await stack.start('worker');
    await agent.release();
    await stack.until(id, isCompleted);
    assert.equal((await readChunks(stack, id)).join(''), 'hello world');
    await assertDelivered(stack, receiver, id);
  });
});

describe('an agent behind a gateway that is killed', () => {
  for (const version of ['1.0', '0.3']) {
    test(`of A2A ${version} gets the message again if it has lost its task`, async (t) => {
      const agent = await startUpstream(t, sdkAgent, { VERSION: version });
      const { stack, receiver, submit } = await startGateway(t, { url: agent.url });
      await stack.start('worker');
      const { id } = await submit('half');
      await stack.until(id, (task) => getText(task) === 'hello ');
      await agent.restart();
      await waitFor('the message to be sent again', async () => {
        const { rows } = await stack.pool.query<{ text: string }>(
          `select payload::text as text from events where task_id = $1 and kind = 'progress'`,
          [id],
        );
        return rows.some(({ text }) => /lose them when they restart\. The message is sent again/.test(text));
      });
      await waitFor('the end of the task', async () => {
        await agent.release();
        const { result } = await stack.rpc('GetTask', { id });
        return isCompleted(result);
      });
      assert.equal((await readChunks(stack, id)).join(''), 'hello world');
      await assertDelivered(stack, receiver, id);
    });
  }

  test('fails the task with the reason if the message must not be sent again', async (t) => {
    const agent = await startUpstream(t, sdkAgent);
    const { stack, submit } = await startGateway(t, { url: agent.url, resends: 0 });
    await stack.start('worker');
    const { id } = await submit('half');
    await stack.until(id, (task) => getText(task) === 'hello ');
    await agent.restart();
    const failed = await stack.until(id, ({ status }) => status.state === 'TASK_STATE_FAILED');
    assert.match(
      failed.status.message.parts[0].text,
      /^The agent "upstream" no longer has the task .* lose them when they restart\.$/,
    );
  });

  test('continues its task if it keeps tasks, as another Longhaul does', async (t) => {
    const { stack: other, tool } = await startScriptedStack(t);
    const services = await Promise.all([other.start('api'), other.start('worker')]);
    const { stack, receiver, submit } = await startGateway(t, { url: other.apiUrl });
    await stack.start('worker');
    const { id } = await submit(
      'step before\nstream hello world\nprogress thinking\nsleep pause 3\nsay done',
    );
    await stack.until(id, (task) => getText(task).startsWith('hello world'));
    await Promise.all(services.map((service) => service.kill()));
    await Promise.all([other.start('api'), other.start('worker')]);
    const done = await stack.until(id, isCompleted);
    assert.equal(getText(done), 'hello world |done');
    assert.equal(tool.received.length, 1, 'the step of the other agent ran once');
    await assertDelivered(stack, receiver, id);
  });
});
