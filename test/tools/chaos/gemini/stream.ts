/** Kills workers at random places of one stream, and compares the text that a client has with that of the model. */
import { setTimeout as sleep } from 'node:timers/promises';
import { writeAgentFile } from '../../../support/agents/definition.ts';
import type { Cleanup } from '../../../support/cleanup.ts';
import { isCompleted, startStack } from '../../../support/stack.ts';
import type { PartOptions, PartResult } from './part.ts';

const eventCount = 2_000;

export async function killDuringStream(
  cleanup: Cleanup,
  { count, seconds }: PartOptions,
): Promise<PartResult> {
  const model = { name: 'gemini-3.8-flash', api: 'interactions', background: 'always', stream: true };
  const stack = await startStack(cleanup, { AGENT_FILE: writeAgentFile(cleanup, { model, tools: [] }) });
  await stack.start('api');
  let worker = await stack.start('worker');
  const chunks = Array.from({ length: eventCount }, (_, index) => `word ${index} `);
  const chunkDelayMs = Math.max(1, Math.round((seconds * 1000) / eventCount));
  stack.model.script([{ match: 'write', reactions: [{ chunks, chunkDelayMs }] }]);
  const { id } = await stack.submit('write');
  const readText = async (): Promise<string[]> => {
    const { rows } = await stack.pool.query<{ text: string; append: boolean }>(
      `select payload #>> '{artifactUpdate,artifact,parts,0,text}' as text,
         (payload #>> '{artifactUpdate,append}')::boolean as append
       from events where task_id = $1 and kind = 'artifact' order by seq`,
      [id],
    );
    const restart = rows.findLastIndex(({ append }) => !append);
    if (restart > 0) restarts = rows.filter(({ append }) => !append).length;
    return rows.map(({ text }) => text);
  };
  let restarts = 1;
  let kills = 0;
  for (; kills < count; kills += 1) {
    await sleep(Math.random() * 2 * ((seconds * 1000) / (count + 1)) * 0.5);
    if (isCompleted(await stack.until(id, () => true))) break;
    await worker.kill();
    worker = await stack.start('worker');
  }
  const { artifacts } = await stack.until(id, isCompleted, 240_000);
  const written = (await readText()).join('');
  const text = artifacts?.[0]?.parts.map((part) => part.text).join('') ?? '';
  const created = stack.model.interactions.list().length;
  return {
    figures: {
      'workers killed while the task ran': kills,
      'streams continued after an event': stack.model.interactions.resumed.length,
      'interactions created': created,
      'starts of the artifact': restarts,
    },
    violations: [
      ...(text === chunks.join('') ? [] : ['the text of the task is not that of the model']),
      ...(written === chunks.join('') ? [] : ['the chunks are not the text of the model, once']),
      ...(created === 1 ? [] : [`${created} interactions were created`]),
    ],
  };
}
