/** Kills the worker and the api in turn during one call in the background. */
import { setTimeout as sleep } from 'node:timers/promises';
import { writeAgentFile } from '../../../support/agents/definition.ts';
import type { Cleanup } from '../../../support/cleanup.ts';
import { isCompleted, startStack } from '../../../support/stack.ts';
import { waitFor } from '../../../support/wait-for.ts';
import type { PartOptions, PartResult } from './part.ts';

/** The last processes start before the end of the call. */
const restMs = 10_000;

export async function killDuringCalls(
  cleanup: Cleanup,
  { count, seconds }: PartOptions,
): Promise<PartResult> {
  const model = { name: 'gemini-3.8-flash', api: 'interactions', background: 'always' };
  const stack = await startStack(cleanup, { AGENT_FILE: writeAgentFile(cleanup, { model, tools: [] }) });
  const env = { GEMINI_WEBHOOK_JWKS_URL: `${stack.model.url}/.well-known/jwks.json` };
  const services = {
    worker: await stack.start('worker'),
    api: await stack.start('api', env),
  };
  stack.model.script([{ match: 'call', reactions: [{ delayMs: seconds * 1000, chunks: ['the answer'] }] }]);
  const { id } = await stack.submit('call');
  const list = () => stack.model.interactions.list();
  // A death between the creation and its record makes another call: docs/gemini.md.
  await waitFor('the record of the call', async () => {
    const { rowCount } = await stack.pool.query(`select from steps where name = 'interaction'`);
    return rowCount === 1;
  });
  const endsAt = performance.now() + seconds * 1000;
  let kills = 0;
  for (let left = seconds * 1000; kills < count && left > restMs; left = endsAt - performance.now()) {
    await sleep((left - restMs) / (count - kills) / 2);
    const kind = kills % 2 === 0 ? 'worker' : 'api';
    await services[kind].kill();
    services[kind] = await stack.start(kind, kind === 'api' ? env : {});
    kills += 1;
  }
  const startedMs = Math.round(endsAt - performance.now());
  await stack.until(id, isCompleted, 120_000);
  const completedMs = Math.round(performance.now() - endsAt);
  const { rows } = await stack.pool.query<{ used: number; ledger: number }>(
    `select count(s.usage)::int as used, (select coalesce(sum(calls), 0)::int from ledger) as ledger
     from steps s where s.task_id = $1`,
    [id],
  );
  const { used = 0, ledger = 0 } = rows[0] ?? {};
  const violations = [
    ...(list().length === 1 ? [] : [`${list().length} interactions were created`]),
    ...(used === 1 && ledger === 1 ? [] : [`${used} steps with usage, ${ledger} calls in the ledger`]),
  ];
  return {
    figures: {
      'interactions created': list().length,
      'calls in the ledger': ledger,
      'processes killed': kills,
      'last process ready before the end of the model': `${startedMs} ms`,
      'completed after the end of the model': `${completedMs} ms`,
    },
    violations,
  };
}
