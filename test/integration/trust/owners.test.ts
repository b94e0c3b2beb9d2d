/**
 * Callers see and change what they own, on every route of an extension (invariant 9). A request that names something of
 * another owner gets the answer for something that does not exist. test/integration/api/isolation.test.ts has the operations
 * of A2A, and the feed.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { sql } from 'kysely';
import { uuidv7 } from '#shared/domain/ids.ts';
import { aliceKey, apiKeysEnv, bobKey, sha256 } from '../../support/services/api-keys.ts';
import { startApiServer } from '../../support/services/api-server.ts';
import { startApiService, type TestApiService } from '../../support/services/api-service.ts';
import { createSuiteCleanup } from '../../support/cleanup.ts';

interface TestCaller {
  key: Record<string, string>;
  tenant: string;
}

/** The things that a request is about. `endedId` is a task that has ended. */
interface Target {
  taskId: string;
  endedId: string;
  scheduleId: string;
}

interface Sent {
  query?: string;
  body?: object;
  accept?: string;
}

const opsKey = { 'x-api-key': 'ops-key-of-a-test' };
const alice: TestCaller = { key: aliceKey, tenant: 'red' };
const others: TestCaller[] = [
  { key: bobKey, tenant: 'red' },
  { key: aliceKey, tenant: 'blue' },
  { key: aliceKey, tenant: '' },
];

const since = '2026-01-01T00:00:00Z';
const schedule = (text: string): object => ({
  everySeconds: 3600,
  paused: true,
  request: { message: { role: 'ROLE_USER', parts: [{ text }] } },
});
const one = (): Sent[] => [{}];
const post = (): Sent[] => [{ body: {} }];
const hook = '/tasks/:taskId/webhooks/:configId';

/** Valid requests to each route. Those that end a task or delete a schedule come last. */
const requests: Record<string, (target: Target) => Sent[]> = {
  'GET /tasks/:taskId/timeline': () => [{}, { accept: 'text/event-stream' }],
  'GET /search': () => [{}, { query: 'state=TASK_STATE_SUBMITTED' }],
  'GET /feed': () => [{ accept: 'text/event-stream' }],
  'GET /stats': one,
  'GET /usage': one,
  'GET /webhooks': () => [{}, { query: 'host=127.0.0.1:9' }],
  'GET /tasks/:taskId/webhooks': one,
  [`GET ${hook}`]: one,
  [`GET ${hook}/deliveries`]: one,
  [`POST ${hook}/deliveries/:event/redeliver`]: post,
  [`POST ${hook}/redeliver`]: () => [{ body: { since } }],
  [`POST ${hook}/test`]: post,
  [`POST ${hook}/secret`]: post,
  'POST /webhooks::redeliver': ({ taskId }) => [
    { body: { since } },
    { body: { since, webhooks: [{ taskId, id: 'hook' }] } },
  ],
  'GET /schedules': one,
  'GET /schedules/:id': one,
  'GET /schedules/:id/firings': one,
  'POST /schedules/:id/run': post,
  'POST /schedules/:id/pause': post,
  'POST /schedules/:id/resume': post,
  'GET /ops/backlog': one,
  'GET /ops/workers': one,
  'GET /ops/work': () => [{ query: 'kind=stalled' }],
  'GET /ops/models': one,
  'GET /ops/hosts': one,
  'GET /ops/owners': () => [{ query: 'all=true' }],
  'GET /ops/usage': one,
  'GET /ops/versions': one,
  'GET /ops/undeleted': one,
  'GET /ops/tasks/:taskId': one,
  'GET /ops/tasks/:taskId/steps': one,
  'POST /ops/turns::wake': ({ taskId }) => [{ body: { taskIds: [taskId] } }],
  'POST /ops/workers::drain': () => [{ body: { worker: 'w' } }],
  'POST /tasks::rerun': ({ taskId, endedId }) => [
    { body: { taskIds: [endedId] } },
    { body: { taskIds: [taskId], fromStep: { name: 'model' } } },
  ],
  'POST /tasks::cancel': ({ taskId }) => [{ body: { taskIds: [taskId] } }],
  'DELETE /schedules/:id': one,
  'PUT /schedules/:id': () => [{ body: schedule('mine') }],
};
const routes = Object.keys(requests);
const isForOperators = (route: string): boolean => route.includes(' /ops/');

describe('routes of extensions', () => {
  const cleanup = createSuiteCleanup();
  let api: TestApiService;
  before(async () => {
    const env = apiKeysEnv();
    const operator = `ops:${sha256(opsKey['x-api-key'])} scopes=read+send+operator`;
    api = await startApiService(cleanup, {
      ...env,
      API_KEYS: `${env['API_KEYS']},${operator}`,
      WEBHOOK_REQUESTS_PER_MINUTE: '0',
    });
  });

  /** Creates a task, a webhook, a schedule and usage. Everything has the marker in it. */
  async function createTarget(marker: string): Promise<Target> {
    const send = async (): Promise<string> => {
      const parts = [{ text: marker }];
      const message = { messageId: randomUUID(), role: 'ROLE_USER', contextId: marker, parts };
      const taskPushNotificationConfig = { id: 'hook', url: `http://127.0.0.1:9/${marker}` };
      const configuration = { returnImmediately: true, taskPushNotificationConfig };
      const params = { message, configuration, metadata: { [marker]: 1 }, tenant: alice.tenant };
      const { result, error } = await api.bindings[0]!.call('SendMessage', params, alice.key);
      assert.equal(error, undefined);
      return result.task.id;
    };
    const [taskId, endedId] = [await send(), await send()];
    await api.bindings[0]!.call('CancelTask', { id: endedId, tenant: alice.tenant }, alice.key);
    await sql`update deliveries set state = 'failed', failures = 1, settled_at = now() where task_id = ${taskId}`.execute(
      api.db,
    );
    const target = { taskId, endedId, scheduleId: 'report' };
    const created = await request(alice, 'PUT /schedules/:id', target, { body: schedule(marker) });
    assert.equal(created.status, 200, created.text);
    await sql`insert into ledger values ('red', 'key:alice', current_date, ${marker}, 1, 1, 0, 0, 0, 1, 1, 0)`.execute(
      api.db,
    );
    return target;
  }

  async function request(
    { key, tenant }: TestCaller,
    route: string,
    { taskId, scheduleId }: Target,
    { query = '', body, accept }: Sent,
  ): Promise<{ status: number; text: string }> {
    const [method = '', pattern = ''] = route.split(' ');
    const path = pattern
      .replaceAll('::', '\0')
      .replace(':taskId', taskId)
      .replace(':configId', 'hook')
      .replace(':event', '1')
      .replace(':id', scheduleId)
      .replaceAll('\0', ':');
    const response = await fetch(`${api.url}/a2a/v1${tenant === '' ? '' : `/${tenant}`}${path}?${query}`, {
      method,
      headers: { ...key, ...(accept && { accept }), ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    const isStream = response.headers.get('content-type') === 'text/event-stream';
    return { status: response.status, text: isStream ? await readFirst(response) : await response.text() };
  }

  async function readFirst(response: Response): Promise<string> {
    const reader = response.body!.getReader();
    const { value } = await reader.read();
    await reader.cancel();
    return Buffer.from(value ?? []).toString();
  }

  /** Everything that is stored for alice in her tenant. */
  async function readStored(): Promise<string[]> {
    const own = sql`owner = 'key:alice' and tenant = 'red'`;
    const tables = ['gates', 'events', 'messages', 'steps', 'webhook_configs', 'deliveries', 'turn_attempts'];
    const ofTasks = tables.map(
      (table) =>
        sql`select to_json(t)::text from ${sql.table(table)} t where task_id in (select id from tasks where ${own})`,
    );
    const ofOwner = ['tasks', 'schedules', 'ledger'].map(
      (table) => sql`select to_json(t)::text from ${sql.table(table)} t where ${own}`,
    );
    const { rows } = await sql<{
      to_json: string;
    }>`${sql.join([...ofTasks, ...ofOwner], sql` union all `)}`.execute(api.db);
    return rows.map((row) => row.to_json).toSorted();
  }

  test('are all covered here', async (t) => {
    const { routes: registered } = await startApiServer(t, {});
    const found = registered.flatMap(({ method, url, audit }) => {
      const path = url.startsWith('/a2a/v1/') ? url.slice('/a2a/v1'.length) : '/:tenant';
      return path.startsWith('/:tenant') || audit === 'operation' || method === 'HEAD'
        ? []
        : [`${method} ${path}`];
    });
    assert.deepEqual(found.toSorted(), routes.toSorted(), 'a route has no requests in this file');
  });

  test('show and change nothing of another owner or tenant', async () => {
    const marker = `marker-${randomUUID()}`;
    const target = await createTarget(marker);
    const missing = { taskId: uuidv7(), endedId: uuidv7(), scheduleId: 'none' };
    const stored = await readStored();
    assert.ok(stored.length > 10);
    for (const caller of others) {
      for (const route of routes) {
        const [asked, expected] = [requests[route]!(target), requests[route]!(missing)];
        for (const [index, sent] of asked.entries()) {
          const answer = await request(caller, route, target, sent);
          const name = `${route} ${JSON.stringify(sent)} by ${JSON.stringify(caller)}: ${answer.text}`;
          const other = await request(caller, route, missing, expected[index]!);
          assert.deepEqual(withoutIds(answer, target), withoutIds(other, missing), name);
          assert.ok(!answer.text.includes(marker) && !answer.text.includes('key:alice'), name);
          if (isForOperators(route)) assert.equal(answer.status, 403, name);
        }
      }
    }
    const [bob = assert.fail()] = others;
    for (const route of routes.filter((each) => !isForOperators(each))) {
      for (const sent of requests[route]!(target)) {
        const { status, text } = await request(bob, route, target, withOwner(sent));
        assert.equal(status, 403, `${route}: ${text}`);
      }
    }
    assert.deepEqual(await readStored(), stored);
  });

  test('work for the owner, and for operators who name the owner', async () => {
    const operator = { key: opsKey, tenant: alice.tenant };
    for (const caller of [alice, operator]) {
      const target = await createTarget(`own-${randomUUID()}`);
      for (const route of routes) {
        if (isForOperators(route) && caller === alice) continue;
        for (const sent of requests[route]!(target)) {
          const isOwn = caller === alice || isForOperators(route);
          const { status, text } = await request(caller, route, target, isOwn ? sent : withOwner(sent));
          const isDrain = route === 'POST /ops/workers::drain';
          assert.equal(status, isDrain ? 404 : 200, `${route} ${JSON.stringify(sent)}: ${text}`);
        }
      }
    }
  });
});

function withOwner({ query, ...sent }: Sent): Sent {
  return { ...sent, query: [query, 'owner=key:alice'].filter(Boolean).join('&') };
}

function withoutIds({ status, text }: { status: number; text: string }, target: Target): object {
  let body = text;
  for (const id of [target.taskId, target.endedId]) body = body.replaceAll(id, 'TASK');
  body = body
    .replaceAll(`"${target.scheduleId}"`, '"SCHEDULE"')
    .replaceAll(`schedule ${target.scheduleId}`, 'SCHEDULE');
  return {
    status,
    body: body.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME').replaceAll(/^id: \d+$/gm, 'ID'),
  };
}
