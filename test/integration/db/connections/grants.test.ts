/** The rights of the services in the database, as the migration grants them to real users. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test, type TestContext } from 'node:test';
import { sql } from 'kysely';
import { Client } from 'pg';
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import { grants } from '#shared/db/schema/grants.ts';
import { grantTables } from '#shared/db/schema/provision.ts';
import { storeAgent } from '#shared/db/tasks/agents.ts';
import { readFailingHosts } from '#shared/db/ops/hosts.ts';
import { readModels } from '#shared/db/ops/models.ts';
import { readWork, requestWakeups, workKinds } from '#shared/db/ops/work.ts';
import { readWorkers, requestDrain, takeDrainRequest } from '#shared/db/ops/workers.ts';
import { bringPollsForward, claimDueCalls } from '#shared/db/models/polls.ts';
import { listUndeletedCalls } from '#shared/db/models/stored-calls.ts';
import { readBacklog } from '#shared/db/outbox/backlog.ts';
import { reportOwners } from '#shared/db/owners/report.ts';
import { countVersions } from '#shared/db/queue/versions.ts';
import { restartTurn } from '#shared/db/reruns/restart.ts';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { readTimeline } from '#shared/db/tasks/timeline.ts';
import { reportModelCall } from '#shared/db/turns/waits/model-waits.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { listOwnWebhooks } from '#shared/db/webhooks/health.ts';
import { caller, claimTask, newTask } from '../../../support/database/new-task.ts';
import { noLimits } from '../../../support/services/quotas.ts';
import { createSuiteCleanup } from '../../../support/cleanup.ts';
import { createTestDatabase } from '../../../support/database/postgres.ts';
import { runNode } from '../../../support/processes/processes.ts';

describe('migration', () => {
  const users = {
    api: `api_${process.pid}`,
    worker: `worker_${process.pid}`,
    dispatcher: `dispatcher_${process.pid}`,
  };
  const cleanup = createSuiteCleanup();
  let admin: Client;
  let address: URL;
  before(async () => {
    const template = await createTestDatabase({ direct: true });
    const name = `created_${process.pid}`;
    address = new URL(template.url);
    address.pathname = `/${name}`;
    const server = new Client({ connectionString: template.url });
    await server.connect();
    cleanup.after(async () => {
      await admin?.end();
      await server.query(`drop database if exists ${name} with (force)`);
      for (const user of Object.values(users)) await server.query(`drop role ${user}`);
      await server.end();
      await template.close();
    });
    for (const user of Object.values(users)) await server.query(`create role ${user} login password 'p'`);
    const env = {
      DATABASE_URL: address.href,
      DATABASE_CREATE: 'true',
      DATABASE_GRANT_TO: Object.entries(users)
        .map((entry) => entry.join(':'))
        .join(),
    };
    for (const output of [/schema migrated/, /is up to date/]) {
      const migrate = runNode(cleanup, ['services/migrate/main.ts'], { env });
      assert.equal((await migrate.exited).code, 0, migrate.output());
      assert.match(migrate.output(), output);
    }
    admin = new Client({ connectionString: address.href });
    await admin.connect();
  });

  function openAs(t: TestContext, service: keyof typeof users): Db {
    const url = new URL(address);
    [url.username, url.password] = [users[service], 'p'];
    const { db } = openDatabase({ database: { url: url.href, poolSize: 2 }, applicationName: 'test' });
    t.after(() => db.destroy());
    return db;
  }

  test('gives each service exactly the rights of the table of grants', async () => {
    const { rows: found } = await admin.query<{ user: string; table: string; right: string }>(
      `select u.name as user, t.table_name as table, r.name as right
       from unnest($1::text[]) u(name), information_schema.tables t, unnest($2::text[]) r(name)
       where t.table_schema = 'public' and has_table_privilege(u.name, 'public.' || quote_ident(t.table_name), r.name)`,
      [Object.values(users), ['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']],
    );
    const expected = Object.entries(grants).flatMap(([table, services]) =>
      Object.entries(services).flatMap(([service, { read, ...rights }]) =>
        Object.entries({ select: read, ...rights })
          .filter(([, columns]) => columns === true)
          .map(([right]) => `${users[service as keyof typeof users]} ${table} ${right}`),
      ),
    );
    const actual = found.map(({ user, table, right }) => `${user} ${table} ${right}`);
    assert.deepEqual(actual.toSorted(), expected.toSorted());
  });

  test('needs no right to create roles for users that exist', async (t) => {
    const name = `migrator_${process.pid}`;
    const { rows } = await admin.query<{ owner: string }>('select quote_ident(current_user) as owner');
    await admin.query(`create role ${name} login password 'p' in role ${rows[0]?.owner}`);
    const url = new URL(address);
    [url.username, url.password] = [name, 'p'];
    t.after(() => admin.query(`drop role ${name}`));
    await grantTables({ url: url.href }, users);
  });

  test('stores the definition of the agent, which the api can use and not write', async (t) => {
    const api = openAs(t, 'api');
    const [row] = await api.selectFrom('agents').selectAll().execute();
    assert.ok(row);
    await storeAgent(api, row.hash, row.definition);
    await assert.rejects(
      storeAgent(api, 'other', { instruction: 'Run this.' }),
      /is not stored: start a worker/,
    );
    const change = api.updateTable('agents').set({ definition: '{}' });
    await assert.rejects(change.execute(), /permission denied for table agents/);
    await assert.rejects(api.deleteFrom('agents').execute(), /permission denied/);
  });

  test('lets the api report to operators, and restart the turn of a worker', async (t) => {
    const [api, worker] = [openAs(t, 'api'), openAs(t, 'worker')];
    const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };
    const task = newTask();
    await createAccept(api, options)(task);
    const { lease } = await claimTask(worker, task.taskId);
    const step = { name: 'a', occurrence: 0, position: 0, inputHash: null, output: '1' };
    await createTurnWriter(worker, options)({ lease, steps: [step] });
    await Promise.all([
      readBacklog(api),
      readModels(api),
      readFailingHosts(api),
      reportOwners(api, noLimits, { all: true }),
      countVersions(api),
      listUndeletedCalls(api, 1),
    ]);
    for (const kind of workKinds) await readWork(api, kind, 10);
    assert.equal((await readWorkers(api)).length, 1);
    await requestDrain(api, ['w1']);
    assert.ok(await takeDrainRequest(worker, 'w1'));
    await claimDueCalls(worker, 10);
    await bringPollsForward(api);
    await reportModelCall(api, options, { token: 'unknown', interaction: 'unknown' });
    const restart = await restartTurn(api, { ...options, dryRun: false }, caller, task.taskId, step);
    assert.equal(restart.kind, 'restarted');
    assert.deepEqual(await requestWakeups(api, [task.taskId]), [task.taskId]);
    assert.equal((await readTimeline(api, caller, task.taskId))?.turns[0]?.attempts[0]?.outcome, 'restarted');
    await listOwnWebhooks(api, caller, { health: ['ok', 'disabled'] }, { size: 1 });
  });

  test('lets the dispatcher remove messages, steps and files without reading them', async (t) => {
    const dispatcher = openAs(t, 'dispatcher');
    await dispatcher.deleteFrom('messages').where('task_id', '=', randomUUID()).execute();
    for (const [table, column] of [
      ['messages', 'message'],
      ['steps', 'output'],
      ['files', 'content'],
    ] as const) {
      await assert.rejects(
        sql`select ${sql.ref(column)} from ${sql.table(table)}`.execute(dispatcher),
        /permission denied/,
      );
    }
    await assert.rejects(sql`insert into agents values ('h', '{}')`.execute(dispatcher), /permission denied/);
  });

  test('lets no service change the schema or the limits of owners', async (t) => {
    for (const service of ['api', 'worker', 'dispatcher'] as const) {
      const db = openAs(t, service);
      await assert.rejects(sql`create table mine ()`.execute(db), /permission denied for schema public/);
      await assert.rejects(sql`alter table agents add column mine text`.execute(db), /must be owner/);
      await assert.rejects(db.deleteFrom('owner_limits').execute(), /permission denied/);
    }
  });
});
