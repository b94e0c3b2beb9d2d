/** Webhooks of all tasks: their health, and redelivery of a selection. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Kysely, PostgresDialect, type CompiledQuery } from 'kysely';
import type { Database } from '#shared/db/schema/schema.ts';
import { listOwnWebhooks } from '#shared/db/webhooks/health.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { newTask, newWebhook } from '../../../support/database/new-task.ts';
import { findReads } from '../../../support/database/plan.ts';
import { bobKey } from '../../../support/services/api-keys.ts';
import { alice, type Json, type Routes } from './routes.ts';

export function testWebhooks({ db, pool, accept, published, call }: Routes): void {
  /** Creates a task with a webhook of some health, whose last two events have failed or wait. */
  async function createWebhook(health: 'ok' | 'failing' | 'disabled', host = 'localhost'): Promise<string> {
    const task = newTask({
      ...alice,
      tenant: 'hooks',
      webhook: newWebhook({ id: 'hook', url: `http://${host}/` }),
    });
    const { taskId } = task;
    await accept(task);
    if (health === 'ok') return taskId;
    const failed = health === 'disabled';
    await db
      .updateTable('webhook_configs')
      .set({ failures: 2, ...(failed && { disabled_at: new Date(), disabled_reason: 'gone' }) })
      .where('task_id', '=', taskId)
      .execute();
    await db
      .updateTable('deliveries')
      .set({
        state: failed ? 'failed' : 'pending',
        failures: 2,
        settled_at: failed ? new Date() : null,
        due_at: new Date(Date.now() + 60_000),
      })
      .where('task_id', '=', taskId)
      .execute();
    const at = new Date();
    const attempt = {
      task_id: taskId,
      config_id: 'hook',
      seq: 1,
      started_at: at,
      duration_ms: 3,
      status: 500,
    };
    await db
      .insertInto('delivery_attempts')
      .values([1, 2].map((number) => ({ ...attempt, attempt: number, error: null, response_start: 'busy' })))
      .execute();
    return taskId;
  }

  test('lists webhooks by health in pages, and redelivers a selection', async () => {
    const ok = await createWebhook('ok');
    const failing = [await createWebhook('failing'), await createWebhook('failing', 'other.example:8443')];
    const disabled = [await createWebhook('disabled'), await createWebhook('disabled', 'other.example:8443')];
    const expected = [...disabled.toReversed(), ...failing.toReversed(), ok];
    const listed: Json[] = [];
    for (let token = ''; ;) {
      const { status, body } = await call(`/hooks/webhooks?pageSize=2&pageToken=${token}`);
      assert.equal(status, 200, JSON.stringify(body));
      listed.push(...body.webhooks);
      token = body.nextPageToken;
      if (token === '') break;
    }
    assert.deepEqual(
      listed.map(({ taskId }) => taskId),
      expected,
    );
    assert.deepEqual(
      listed.map(({ health }) => health),
      ['disabled', 'disabled', 'failing', 'failing', 'ok'],
    );
    const { startedAt, ...last } = listed[0].lastAttempt;
    assert.deepEqual(last, { event: 1, attempt: 2, durationMs: 3, status: 500, responseStart: 'busy' });
    assert.ok(Date.parse(startedAt) > 0);
    const find = async (query: string) =>
      (await call(`/hooks/webhooks?${query}`)).body.webhooks.map(({ taskId }: Json) => taskId);
    assert.deepEqual(await find('health=failing'), failing.toReversed());
    assert.deepEqual(await find('host=OTHER.example:8443'), [disabled[1], failing[1]]);
    assert.deepEqual(await find('health=ok&host=nowhere.example'), []);

    const since = new Date(Date.now() - 60_000).toISOString();
    const redeliver = async (body: object) =>
      (await call('/hooks/webhooks:redeliver', { since, ...body })).body;
    const counted = await redeliver({ dryRun: true });
    assert.deepEqual([counted.count, counted.webhooks.length, counted.nextPageToken], [4, 4, '']);
    const some = await redeliver({ host: 'other.example:8443', health: 'disabled' });
    assert.deepEqual(some.webhooks, [{ taskId: disabled[1], id: 'hook', outcome: 'redelivered', count: 1 }]);
    assert.deepEqual(await find('health=disabled'), [disabled[0]]);
    const named = await redeliver({
      webhooks: [disabled[0], ok, uuidv7(), 'x'].map((taskId) => ({ taskId, id: 'hook' })),
    });
    assert.deepEqual(
      named.webhooks.map(({ outcome }: Json) => outcome),
      ['redelivered', 'nothing', 'not_found', 'not_found'],
    );
    assert.ok(published.some((wakeup) => wakeup.kind === 'delivery' && wakeup.taskId === disabled[0]));
    const foreign = await call('/hooks/webhooks', undefined, bobKey);
    assert.deepEqual(foreign.body, { webhooks: [], nextPageToken: '' });
  });

  test('finds webhooks by an index', async () => {
    await pool.query(
      `insert into webhook_configs (task_id, id, tenant, owner, url, events, protocol_version, failures)
       select gen_random_uuid(), 'h', '', 'key:many', 'http://x/', 'all', '1.0', i % 50 / 49 from generate_series(1, 5000) i`,
    );
    await pool.query('analyze webhook_configs');
    const queries: CompiledQuery[] = [];
    const logged = new Kysely<Database>({
      dialect: new PostgresDialect({ pool }),
      log: ({ query }) => void queries.push(query),
    });
    const after = { health: 1, taskId: uuidv7(), id: 'h' };
    await listOwnWebhooks(
      logged,
      { tenant: '', owner: 'key:many' },
      { health: ['ok', 'disabled'] },
      { size: 50, after },
    );
    const [query] = queries;
    const { rows } = await pool.query(`explain (format json) ${query!.sql}`, [...query!.parameters]);
    const plan = rows[0]['QUERY PLAN'][0].Plan;
    const [read] = findReads(plan, 'webhook_configs').filter(
      (node) => node['Index Name'] !== 'webhook_configs_pkey',
    );
    assert.equal(read?.['Index Name'], 'webhook_configs_by_health');
    assert.match(JSON.stringify(read), /"Index Cond":"[^"]*ROW\(/);
  });
}
