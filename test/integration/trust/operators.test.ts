/** The routes for operators (docs/extensions/operator.md), with the rights of the api in the database. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { aliceKey, apiKeysEnv, sha256 } from '../../support/services/api-keys.ts';
import { startApiService, type TestApiService } from '../../support/services/api-service.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';
import { checkAnswers } from '../../support/clients/openapi.ts';
import { createClaimedTask, newTask } from '../../support/database/new-task.ts';
import type { AnyJson as Json } from '../../support/clients/any-json.ts';

const alice = { tenant: '', owner: 'key:alice' };
const opsKey = { 'x-api-key': 'ops-key-of-a-test' };
const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };

describe('the routes for operators', () => {
  const cleanup = createSuiteCleanup();
  let api: TestApiService;
  before(async () => {
    const env = apiKeysEnv();
    api = await startApiService(cleanup, {
      ...env,
      API_KEYS: `${env['API_KEYS']},ops:${sha256(opsKey['x-api-key'])} scopes=read+send+operator`,
    });
    await checkAnswers(cleanup, api.url);
  });

  async function call(
    path: string,
    body?: object,
    headers: Record<string, string> = opsKey,
  ): Promise<{ status: number; body: Json }> {
    const response = await fetch(`${api.url}/a2a/v1${path}`, {
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  }

  const get = async (path: string): Promise<Json> => (await call(path)).body;

  const change = (id: string, values: object) =>
    api.db.updateTable('gates').set(values).where('task_id', '=', id).execute();

  async function createTask(): Promise<string> {
    const task = newTask(alice);
    await createAccept(api.db, options)(task);
    return task.taskId;
  }

  const [past, later] = [-60_000, 60_000].map((ms) => new Date(Date.now() + ms)) as [Date, Date];

  test('wake turns that may start, and retry those whose partner has failed', async () => {
    const { lease } = await createClaimedTask(api.db, alice);
    const [stalled, failing, delayed] = [await createTask(), await createTask(), await createTask()];
    await change(failing, { failing_since: past, failures: 3, run_at: later, wakeup_at: later });
    await change(delayed, { run_at: later, wakeup_at: later });
    const taskIds = [stalled, lease.taskId, failing, delayed, 'x'];
    const { body } = await call('/ops/turns:wake', { taskIds });
    assert.deepEqual(body.taskIds.toSorted(), [stalled, failing].toSorted(), 'a start time is kept');
    const { run_at: runAt } = await api.db
      .selectFrom('gates')
      .select('run_at')
      .where('task_id', '=', failing)
      .executeTakeFirstOrThrow();
    assert.ok(runAt < later);
    assert.equal((await call('/ops/turns:wake', { stalled: true, taskIds: ['x'] })).status, 400);
  });

  test('report the calls that Google still stores, and versions', async () => {
    assert.deepEqual(await get('/ops/versions'), { versions: [] });
    const call = { interaction: 'call', removed_at: past, attempts: 1, error: 'status 500', next_at: null };
    await api.db.insertInto('stored_calls').values(call).execute();
    const { undeleted } = await get('/ops/undeleted');
    const { interaction, attempts, error } = call;
    assert.deepEqual(undeleted, [{ interaction, attempts, error, removedAt: past.toISOString() }]);
  });

  test('are refused to others, and have no owner', async () => {
    for (const path of ['/ops/backlog', '/ops/work?kind=parked', '/search?owner=key:bob']) {
      assert.equal((await call(path, undefined, aliceKey)).status, 403, path);
    }
    const refused = await call('/ops/turns:wake', { stalled: true }, aliceKey);
    assert.match(refused.body.error.message, /needs the scope operator/);
    const { status, body } = await call('/ops/backlog?owner=key:alice');
    assert.deepEqual(
      [status, body.error.message],
      [400, '"owner" is not a parameter of GET /ops/backlog: it has tenant, A2A-Version'],
    );
  });
});
