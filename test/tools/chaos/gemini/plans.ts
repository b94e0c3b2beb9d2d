/** Tasks that plan together with Deep Research: plan, change, confirmation and report, while their worker is killed. */
import { randomUUID } from 'node:crypto';
import { writeAgentFile } from '../../../support/agents/definition.ts';
import type { Cleanup } from '../../../support/cleanup.ts';
import { isCompleted, startStack, type TaskJson } from '../../../support/stack.ts';
import { startReceiver } from '../../../support/webhooks/receiver.ts';
import type { PartOptions, PartResult } from './part.ts';

const asks = ({ status }: TaskJson): boolean => status.state === 'TASK_STATE_INPUT_REQUIRED';

export async function planWhileKilled(cleanup: Cleanup, { count }: PartOptions): Promise<PartResult> {
  const model = { name: 'deep-research-preview-04-2026', agentConfig: { collaborativePlanning: true } };
  const stack = await startStack(cleanup, { AGENT_FILE: writeAgentFile(cleanup, { model, tools: [] }) });
  const receiver = await startReceiver(cleanup);
  let worker = await stack.start('worker');
  await stack.start('dispatcher');
  await stack.start('api', { GEMINI_WEBHOOK_JWKS_URL: `${stack.model.url}/.well-known/jwks.json` });
  const say = async (id: string, text: string): Promise<void> => {
    const message = { messageId: randomUUID(), taskId: id, role: 'ROLE_USER', parts: [{ text }] };
    await stack.rpc('SendMessage', { message, configuration: { returnImmediately: true } });
  };
  const violations: string[] = [];
  for (let task = 0; task < count; task += 1) {
    const first = receiver.received.length;
    const configuration = { taskPushNotificationConfig: { url: receiver.url } };
    const { id } = await stack.submit('tea', { configuration });
    await stack.until(id, asks, 120_000);
    // No worker runs while the user reads the plan.
    await worker.kill();
    await say(id, 'only green tea');
    worker = await stack.start('worker');
    const changed = await stack.until(id, (found) => asks(found) && isAbout(found, 'green tea'), 120_000);
    if (changed.artifacts !== undefined && changed.artifacts.length > 0)
      violations.push('a plan is an artifact');
    await say(id, 'yes');
    await stack.until(id, isCompleted, 120_000);
    await receiver.match(new RegExp(`"${id}".*TASK_STATE_COMPLETED|TASK_STATE_COMPLETED.*"${id}"`));
    const states = receiver.received
      .slice(first)
      .flatMap(({ body }) => /TASK_STATE_[A-Z_]+/.exec(body) ?? []);
    const settled = states.filter(
      (state) => state !== 'TASK_STATE_WORKING' && state !== 'TASK_STATE_SUBMITTED',
    );
    const expected = ['TASK_STATE_INPUT_REQUIRED', 'TASK_STATE_INPUT_REQUIRED', 'TASK_STATE_COMPLETED'];
    if (settled.join() !== expected.join()) violations.push(`webhooks in the order ${settled.join(', ')}`);
  }
  const created = stack.model.interactions.list().length;
  if (created !== 3 * count) violations.push(`${created} interactions were created, not ${3 * count}`);
  return {
    figures: { 'interactions created': created, 'webhooks received': receiver.received.length },
    violations,
  };
}

function isAbout({ status }: TaskJson, topic: string): boolean {
  return JSON.stringify(status.message).includes(topic);
}
