/** Gateways in tests: their services, and the agents behind them as processes that are killed and started again. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { webhooksExtensionUri } from '#shared/webhooks/extension.ts';
import { freePort } from '../network/ports.ts';
import { runNode, type RunningProcess } from '../processes/processes.ts';
import { startStack, type Stack, type TaskJson } from '../stack.ts';
import { writeTempFile } from '../temp-dir.ts';
import { startReceiver, type Receiver } from '../webhooks/receiver.ts';

/** Starts the services of a gateway before an agent. */
export async function startGateway(
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

export interface Upstream {
  url: string;
  restart(): Promise<void>;
  release(): Promise<unknown>;
}

/**
 * Starts an agent as a process, which prints `listening`, and serves its card at the root and `POST /release`.
 *
 * @param file of the agent
 */
export async function startUpstream(
  t: TestContext,
  file: string,
  env: Record<string, string> = {},
): Promise<Upstream> {
  const port = String(await freePort());
  const url = `http://127.0.0.1:${port}`;
  const start = async (): Promise<RunningProcess> => {
    const running = runNode(t, [file], { env: { PORT: port, ...env } });
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

export const getText = ({ artifacts = [] }: TaskJson): string =>
  artifacts.flatMap(({ parts }) => parts.map(({ text = '' }) => text)).join('|');

/** The texts of all chunks, in order. */
export async function readChunks(stack: Stack, taskId: string): Promise<string[]> {
  const { rows } = await stack.pool.query<{
    payload: { artifactUpdate: { artifact: { parts: { text: string }[] } } };
  }>(`select payload from events where task_id = $1 and kind = 'artifact' order by seq`, [taskId]);
  return rows.flatMap(({ payload }) => payload.artifactUpdate.artifact.parts.map(({ text }) => text));
}

/** Each event of a task has been delivered once. */
export async function assertDelivered(stack: Stack, receiver: Receiver, taskId: string): Promise<void> {
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
