/** The declarations of the package, used by a strict consumer with each way to resolve modules. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Shell } from './shell.ts';

const consumer = `import { defineAgent, FatalError, textOf, type Turn } from 'longhaul/agent';
import { connect, type Task } from 'longhaul/client';
import { assertReplays, createTask, startScriptedModel, startStack } from 'longhaul/testing';
import { defineTool } from 'longhaul/tools';
import { expressWebhook, fastifyWebhook, verify } from 'longhaul/webhooks';

export const agent = defineAgent({
  version: '1',
  definition: { name: 'A', description: 'B.' },
  async run(turn: Turn) {
    if (textOf(turn.message.parts) === '') throw new FatalError('empty');
    const n: number = await turn.step('one', async () => 1);
    return { state: 'TASK_STATE_COMPLETED', message: String(n) };
  },
});
export const tool = defineTool({
  name: 'add',
  description: 'Adds.',
  parameters: { type: 'object', properties: { a: { type: 'number' } }, required: ['a'] },
  run: async ({ a }) => a.toFixed(0),
});
export const task: Promise<Task> = connect('http://localhost').then((client) => client.get('id'));
export const used = [assertReplays, createTask, startScriptedModel, startStack, expressWebhook, fastifyWebhook, verify];
`;

export async function checkTypes(shell: Shell): Promise<void> {
  writeFileSync(path.join(shell.cwd, 'consumer.ts'), consumer);
  await shell.run('tsc, as init writes it', 'npx tsc');
  for (const [module, resolution] of [
    ['esnext', 'bundler'],
    ['node16', 'node16'],
    ['nodenext', 'nodenext'],
  ]) {
    await shell.run(
      `tsc --strict --moduleResolution ${resolution}`,
      `npx tsc --ignoreConfig --noEmit --strict --target es2022 --types node --module ${module} --moduleResolution ${resolution} consumer.ts`,
    );
  }
}
