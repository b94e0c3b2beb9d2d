/** Gateways whose workers, and the agents behind them, are killed in the middle of tasks. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { webhooksExtensionUri } from '#shared/webhooks/options.ts';
import { freePort } from '../../support/ports.ts';
import { runNode, type RunningProcess } from '../../support/processes/processes.ts';
import { startScriptedStack } from '../../support/scripted-stack.ts';
import { isCompleted, startStack, type Stack, type TaskJson } from '../../support/stack.ts';
import { writeTempFile } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';
import { startReceiver, type Receiver } from '../../support/webhooks/receiver.ts';

/** Starts the services of a gateway before an agent. */
async function startGateway(
  t: TestContext,
  a2a: object,
): Promise<{ stack: Stack; receiver: Receiver; submit: (text: string) => Promise<TaskJson> }> {
  const definition = { name: 'Front', description: 'In front.', version: '1', a2a };
  const file = writeTempFile(t, 'agent.yaml', JSON.stringify(definition));
  const [stack, receiver] = await Promise.all([startStack(t, { AGENT_FILE: file }), startReceiver(t)]);
  await Promise.all([stack.start('api'), stack.start('dispatcher')]);
  const submit = (text: string) =>
    stack.submit(text, {
      configuration: { taskPushNotificationConfig: { url: receiver.url } },
      metadata: { [webhooksExtensionUri]: { events: 'all' } },
    });
  return { stack, receiver, submit };
}

interface SdkAgent {
  url: string;
  restart(): Promise<void>;
  release(): Promise<unknown>;
}

async function startSdkAgent(t: TestContext, env: Record<string, string>): Promise<SdkAgent> {
  const port = String(await freePort());
  const url = `http://127.0.0.1:${port}`;
  const start = async (): Promise<RunningProcess> => {
    const running = runNode(t, ['test/support/sdk-agent-main.ts'], { env: { PORT: port, ...env } });
    await running.line(/listening/);
    return running;
  };
  let running = await start();
  return {
    url,
    restart: async () => {
      running.child.kill('SIGKILL');
      await running.exited;
      running = await start();
    },
    release: () => fetch(`${url}/release`, { method: 'POST' }),
  };
}

const getText = ({ artifacts = [] }: TaskJson): string =>
  artifacts.flatMap(({ parts }) => parts.map(({ text = '' }) => text)).join('|');

/** The texts of all chunks, in order. */
async function readChunks(stack: Stack, taskId: string): Promise<string[]> {
  const { rows } = await stack.pool.query<{
    payload: { artifactUpdate: { artifact: { parts: { text: string }[] } } };
  }>(`select payload from events where task_id = $1 and kind = 'artifact' order by seq`, [taskId]);
  return rows.flatMap(({ payload }) => payload.artifactUpdate.artifact.parts.map(({ text }) => text));
}

/** Each event of a task has been delivered once. */
async function assertDelivered(stack: Stack, receiver: Receiver, taskId: string): Promise<void> {
  const { rows } = await stack.pool.query<{ seq: number }>(
    'select seq from events where task_id = $1 order by seq',
    [taskId],
  );
  await receiver.count(rows.length);
  assert.deepEqual(
    receiver.events(),
    rows.map(({ seq }) => seq),
  );
}

describe('a gateway whose worker is killed', () => {
  test('stores no chunk twice and loses none', async (t) => {
    const agent = await startSdkAgent(t, { NOTIFIES: '1' });
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
      const agent = await startSdkAgent(t, { VERSION: version });
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
    const agent = await startSdkAgent(t, {});
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
