/** Tasks of two owners in one batch, whose worker dies between its creation and the record of it. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTextReply } from '#services/local/offline-model/reply.ts';
import { getLastUserText } from '#services/local/offline-model/wire.ts';
import { writeAgentFile } from '../../../support/agents/definition.ts';
import { aliceKey, apiKeysEnv, bobKey } from '../../../support/services/api-keys.ts';
import type { Cleanup } from '../../../support/cleanup.ts';
import { startStack } from '../../../support/stack.ts';
import { waitFor } from '../../../support/wait-for.ts';
import type { PartOptions, PartResult } from './part.ts';

const boundMs = 900_000;
const atOnce = 10;

export async function collectBatch(cleanup: Cleanup, { count, seconds }: PartOptions): Promise<PartResult> {
  const [model, collectSeconds] = ['gemini-3.8-flash', Math.ceil(20 + count / 10)];
  const agentFile = writeAgentFile(cleanup, {
    model: { name: model, serviceTier: 'batch', batch: { collectSeconds } },
    tools: [],
    prices: { [model]: { input: 1, output: 1 } },
  });
  const stack = await startStack(cleanup, { AGENT_FILE: agentFile, ...apiKeysEnv() }, (request) => {
    const text = getLastUserText(request);
    const delayMs = seconds * 1000;
    return text === 'item 0' ? { pieces: [], delayMs, error: { status: 400 } } : answer(text, delayMs);
  });
  await stack.start('api', { GEMINI_WEBHOOK_JWKS_URL: `${stack.model.url}/.well-known/jwks.json` });
  const worker = { WORKER_CONCURRENCY: '10', WORKER_OWNER_SHARE: '1' };
  const dying = await stack.start('worker', { ...worker, FAULT_POINT: 'batch-created' });
  const submit = async (item: number): Promise<void> => {
    const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: `item ${item}` }] };
    const params = { message, configuration: { returnImmediately: true } };
    const { error } = await stack.rpc('SendMessage', params, item % 2 === 0 ? aliceKey : bobKey);
    if (error !== undefined) throw new Error(error.message);
  };
  for (let sent = 0; sent < count; sent += atOnce) {
    await Promise.all(Array.from({ length: Math.min(atOnce, count - sent) }, (_, at) => submit(sent + at)));
  }
  await dying.running.exited;
  await stack.start('worker', worker);
  const read = async (query: string): Promise<number> =>
    Number((await stack.pool.query<{ value: string }>(query)).rows[0]?.value);
  const readHeld = () => read('select count(*) as value from gates where worker is not null');
  await waitFor('the record of the batch', () => read('select count(name) as value from batches'), {
    boundMs,
  });
  await waitFor('no held slot', async () => (await readHeld()) === 0, { boundMs });
  await sleep(1000);
  const held = await readHeld();
  const inBatch = stack.model.batches.list()[0]?.request.requests.length ?? 0;
  const readOpen = () => read(`select count(*) as value from gates where state_class = 0`);
  await waitFor('the end of the batch', () => stack.model.batches.list()[0]?.responses.length !== 0, {
    boundMs,
  });
  const endedAt = performance.now();
  await waitFor('all tasks', async () => (await readOpen()) === 0, { boundMs });
  const allMs = Math.round(performance.now() - endedAt);
  const own = await read(
    `select count(*) as value from tasks t join messages m on m.task_id = t.id and m.role = 'user'
       join artifacts a on a.task_id = t.id
     where t.state = 'TASK_STATE_COMPLETED'
       and a.artifact -> 'parts' -> 0 ->> 'text' = 'result of ' || (m.message -> 'parts' -> 0 ->> 'text')`,
  );
  const failed = await read(`select count(*) as value from tasks where state = 'TASK_STATE_FAILED'`);
  const counted = await read('select coalesce(sum(calls), 0) as value from ledger');
  const half = await read(
    `select sum(cost) / (sum(prompt_tokens + output_tokens) / 1000000.0) as value from ledger`,
  );
  const owners = await read('select count(distinct owner) as value from ledger');
  const { created } = stack.model.batches;
  return {
    figures: {
      'batches created': created,
      'requests in the batch': inBatch,
      'slots held while it ran': held,
      'tasks with their own result': own,
      'tasks that failed': failed,
      'calls in the ledger': `${counted} of ${owners} owners`,
      'price, as a share of that of single calls': half.toFixed(2),
      'end of the batch to the end of the last task': `${allMs} ms`,
    },
    violations: [
      ...(created === 1 && inBatch === count ? [] : [`${created} batches, ${inBatch} requests in the first`]),
      ...(own === count - 1 && failed === 1 ? [] : [`${own} tasks have their own result, ${failed} failed`]),
      ...(counted === count - 1 ? [] : [`${counted} calls in the ledger`]),
      ...(Math.abs(half - 0.5) < 0.001 ? [] : [`the price is ${half}`]),
      ...(held === 0 ? [] : [`${held} slots held`]),
    ],
  };
}

function answer(text: string, delayMs: number) {
  return { ...createTextReply(`result of ${text}`), delayMs, chunkDelayMs: 0 };
}
