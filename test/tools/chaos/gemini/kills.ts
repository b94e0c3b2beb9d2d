/** Kills the worker and the api in turn during one call in the background. */
import { setTimeout as sleep } from 'node:timers/promises';
import { deleteTasksOfOwner } from '#shared/db/tasks/retention.ts';
import type { Caller } from '#shared/db/tasks/visibility.ts';
import { writeAgentFile } from '../../../support/agents/definition.ts';
import type { Cleanup } from '../../../support/cleanup.ts';
import { openTestPool } from '../../../support/database/postgres.ts';
import { isCompleted, startStack, type Stack } from '../../../support/stack.ts';
import { waitFor } from '../../../support/wait-for.ts';
import type { PartOptions, PartResult } from './part.ts';

/** The last processes start before the end of the call, unless the machine is slow. */
const restMs = 10_000;
/** The longest time until the task is completed, when the call has ended and both processes run. */
const maxCompletionMs = 2_000;
const maxDeletionMs = 120_000;

export async function killDuringCalls(
  cleanup: Cleanup,
  { count, seconds }: PartOptions,
): Promise<PartResult> {
  const model = { name: 'gemini-3.8-flash', api: 'interactions', background: 'always' };
  const stack = await startStack(cleanup, { AGENT_FILE: writeAgentFile(cleanup, { model, tools: [] }) });
  const env = { GEMINI_WEBHOOK_JWKS_URL: `${stack.model.url}/.well-known/jwks.json` };
  const services = { worker: stack.start('worker'), api: stack.start('api', env) };
  await Promise.all([services.worker, services.api]);
  stack.model.script([{ match: 'call', reactions: [{ delayMs: seconds * 1000, chunks: ['the answer'] }] }]);
  const { id } = await stack.submit('call');
  const list = () => stack.model.interactions.list();
  // A death between the creation and its record makes another call: docs/develop/gemini.md.
  await waitFor('the record of the call', async () => {
    const { rowCount } = await stack.pool.query(`select from steps where name = 'interaction'`);
    return rowCount === 1;
  });
  const endsAt = Date.now() + seconds * 1000;
  let kills = 0;
  for (let left = seconds * 1000; kills < count && left > restMs; left = endsAt - Date.now()) {
    await sleep((left - restMs) / (count - kills) / 2);
    const kind = kills % 2 === 0 ? 'worker' : 'api';
    const running = await services[kind];
    await running.kill();
    // The other one is killed while this one starts.
    services[kind] = stack.start(kind, kind === 'api' ? env : {});
    kills += 1;
  }
  await Promise.all([services.worker, services.api]);
  const readyAt = Date.now();
  await stack.until(id, isCompleted, 120_000);
  const { rows } = await stack.pool.query<{ used: number; ledger: number; read: Date; at: Date }>(
    `select count(s.usage)::int as used, (select coalesce(sum(calls), 0)::int from ledger) as ledger,
       max(s.finished_at) filter (where s.name = 'interaction-wait') as read,
       (select status_at from tasks where id = $1) as at
     from steps s where s.task_id = $1`,
    [id],
  );
  const { used = 0, ledger = 0, at = new Date(), read = at } = rows[0] ?? {};
  const created = list().length;
  const endedAt = Date.parse(list()[0]?.updated ?? '');
  const completedMs = Math.max(0, at.getTime() - Math.max(endedAt, readyAt));
  const deletedMs = await removeTask(stack, id);
  const violations = [
    ...(created === 1 ? [] : [`${created} interactions were created`]),
    ...(used === 1 && ledger === 1 ? [] : [`${used} steps with usage, ${ledger} calls in the ledger`]),
    ...(completedMs <= maxCompletionMs ? [] : [`completed ${completedMs} ms late`]),
    ...(deletedMs === undefined ? ['the call was not deleted at Google with its task'] : []),
  ];
  return {
    figures: {
      'interactions created': created,
      'calls in the ledger': ledger,
      'deleted at Google after the removal of its task': `${deletedMs} ms`,
      'processes killed': kills,
      'last process ready before the end of the model': `${endedAt - readyAt} ms`,
      'answers to the webhook (0: none)': stack.model.interactions.webhooks.statuses.join(', '),
      'read after the end of the model': `${read.getTime() - endedAt} ms`,
      'completed after the end of the model, and after the last process was ready': `${completedMs} ms`,
    },
    violations,
  };
}

/** Removes the task, and returns after how many milliseconds its calls are deleted; undefined: they are not. */
async function removeTask({ databaseUrl, model, pool }: Stack, id: string): Promise<number | undefined> {
  const { rows } = await pool.query<Caller>('select tenant, owner from tasks where id = $1', [id]);
  const [caller] = rows;
  if (caller === undefined) return undefined;
  const opened = openTestPool(databaseUrl);
  await deleteTasksOfOwner(opened.db, caller, 10);
  await opened.pool.end();
  const removedAt = performance.now();
  const isDeleted = () => model.interactions.list().length === 0;
  return waitFor('the deletion', isDeleted, { boundMs: maxDeletionMs }).then(
    () => Math.round(performance.now() - removedAt),
    () => undefined,
  );
}
