/**
 * The walk through docs/operate/runbook.md: a stack is broken in the ways of each section, and the commands of the section find the
 * cause and repair it. Each walk follows every command of its section.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test, type TestContext } from 'node:test';
import { Client } from 'pg';
import { freePort } from '../../support/network/ports.ts';
import { readSection, readSql, sectionNames } from '../../support/deploy/runbook/page.ts';
import { walkThrough, type Walk } from '../../support/deploy/runbook/walk.ts';
import { scriptedAgent } from '../../support/services/scripted-stack.ts';
import { isCompleted } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';
import { startReceiver } from '../../support/webhooks/receiver.ts';

/** The line on stderr that a command prints for an empty list. */
const empty = 'the list is empty\n';

const timeout = 150_000;
const scripted = { AGENT_MODULE: scriptedAgent };
const owner = ['--owner', 'key:alice'];
const webhookTo = (url: string, more: object = {}) => ({ taskPushNotificationConfig: { url, ...more } });

/** Runs a command until its output matches. */
const untilPrinted = ({ follow }: Walk, command: string, pattern: RegExp): Promise<unknown> =>
  waitFor(String(pattern), async () => pattern.test(await follow(command)));

describe('the runbook', () => {
  const walked: string[] = [];
  /** Registers the walk through a section. */
  function walk(
    section: string,
    title: string,
    env: Record<string, string>,
    run: (walk: Walk, t: TestContext) => Promise<void>,
  ): void {
    walked.push(section);
    test(`${section}: ${title}`, { timeout }, (t) => walkThrough(t, section, env, (each) => run(each, t)));
  }

  walk('queue-age', 'a queue grows without a worker, then behind a limit', scripted, async (parts) => {
    const { stack, follow, send, cancel, until } = parts;
    await stack.start('api');
    const first = await send('say one');
    await untilPrinted(parts, 'longhaul ops backlog', /^turnsWaiting +1$/m);
    assert.equal(await follow('longhaul ops workers'), empty, 'no worker runs');
    const limit = 'deploy/admin.sh limits set OWNER concurrentTurns=100';
    const values = { OWNER: 'key:alice' };
    await follow(limit, { values: { ...values, 'concurrentTurns=100': 'concurrentTurns=1' } });
    await stack.start('worker');
    await until(first, isCompleted);
    const [running, queued] = [await send('wait 600000'), await send('say two')];
    await untilPrinted(parts, 'longhaul ops backlog', /^turnsQueued +1$/m);
    assert.match(await follow('longhaul ops owners'), /key:alice +concurrentTurns +1 +1 +100% +own/);
    await follow(limit, { values });
    await until(queued, isCompleted);
    await cancel(running);
    assert.equal(await follow('longhaul ops versions'), empty, 'the agent declares no version');
  });

  walk('reconciler-lag', 'no process finds late turns', scripted, async (parts) => {
    const { stack, follow, send, until } = parts;
    await stack.start('api');
    const [stalled, overdue] = [await send('say one'), await send('wait 600000')];
    await stack.pool.query(`update gates set deadline_at = now() - interval '1 minute' where task_id = $1`, [
      overdue,
    ]);
    await untilPrinted(parts, 'longhaul ops work stalled', new RegExp(stalled));
    assert.match(await follow('longhaul ops work overdue'), new RegExp(`^${overdue} `, 'm'));
    await stack.start('worker');
    await until(stalled, isCompleted);
    await until(overdue, ({ status }) => status.state === 'TASK_STATE_FAILED');
    for (const kind of ['stalled', 'overdue']) assert.equal(await follow(`longhaul ops work ${kind}`), empty);
  });

  walk('outbox-stalled', 'Pub/Sub is down', scripted, async ({ stack, send, until }) => {
    await stack.stopPubSub();
    const api = await stack.start('api');
    const id = await send('say one');
    const message = 'wake-ups were not published';
    assert.match(readSection('outbox-stalled'), new RegExp(`\`${message}\``));
    await api.running.line(new RegExp(message));
    await stack.startPubSub();
    await stack.start('worker');
    await until(id, isCompleted);
  });

  walk('webhooks-stalled', 'no dispatcher sends webhooks', scripted, async (parts, t) => {
    const { stack, send, until } = parts;
    const receiver = await startReceiver(t);
    await Promise.all([stack.start('api'), stack.start('worker')]);
    await until(await send('say one', webhookTo(receiver.url)), isCompleted);
    await untilPrinted(parts, 'longhaul ops backlog', /^webhooksPending +[1-9]/m);
    await stack.start('dispatcher');
    await receiver.match(/TASK_STATE_COMPLETED/);
    await untilPrinted(parts, 'longhaul ops backlog', /^webhooksPending +0$/m);
  });

  const patient = { ...scripted, WEBHOOK_SCHEDULE_SECONDS: '0,600' };
  walk('webhooks-failing', 'a receiver is down', patient, async (parts, t) => {
    const { stack, follow, send, until } = parts;
    const receiver = await startReceiver(t);
    receiver.answer(500);
    await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
    const startedAt = new Date(Date.now() - 60_000).toISOString();
    const task = await send('say one', webhookTo(receiver.url));
    await until(task, isCompleted);
    const { host } = new URL(receiver.url);
    await untilPrinted(parts, 'longhaul ops hosts', new RegExp(`^${host} +1 +1 `, 'm'));
    assert.match(await follow('deploy/admin.sh webhooks'), new RegExp(`^${host} .* 100\\.0%`, 'm'));
    const about = { values: { TASK: task, TIME: startedAt, HOST: host }, more: owner };
    assert.match(await follow('longhaul webhooks list TASK', about), /failing|active +1/);
    assert.match(await follow('longhaul webhooks deliveries TASK', about), /^1 +pending .* 500, due /m);
    receiver.answer(200);
    const redeliver = 'longhaul webhooks redeliver --since TIME --host HOST';
    assert.match(await follow(`${redeliver} --dry-run`, about), /^[1-9]\d* would be delivered/);
    await follow(redeliver, about);
    await receiver.match(/TASK_STATE_COMPLETED/);
    await untilPrinted(parts, 'longhaul ops hosts', /^the list is empty$/m);
    const { length } = receiver.received;
    await follow('longhaul webhooks test TASK', about);
    await receiver.count(length + 1);
  });

  walk('accept-slow', 'a session blocks others', scripted, async ({ stack, send }, t) => {
    await stack.start('api');
    const blocker = new Client({ connectionString: stack.databaseUrl });
    blocker.on('error', () => undefined);
    await blocker.connect();
    t.after(() => blocker.end().catch(() => undefined));
    await blocker.query('begin');
    await blocker.query('lock table tasks');
    const sent = send('say one');
    // A test does not wait for ten seconds.
    const sql = readSql('accept-slow').replace("interval '10 seconds'", "interval '0 seconds'");
    const blocked = await waitFor('a blocked query', async () => {
      const { rows } = await stack.pool.query<{ blocked_by: number[]; query: string }>(sql);
      return rows.find(({ blocked_by: by }) => by.length > 0);
    });
    const [pid] = blocked.blocked_by;
    assert.ok(readSection('accept-slow').includes('`pg_terminate_backend(PID)`'));
    await stack.pool.query('select pg_terminate_backend($1)', [pid]);
    await sent;
  });

  const small = { ...scripted, OWNER_MAX_OPEN_TASKS: '1' };
  walk('api-failing', 'the database, a key, a quota, and a caller', small, async (parts, t) => {
    const { stack, follow, send } = parts;
    const first = await stack.start('api');
    // When a probe asks, the service notes the key that it encrypts with.
    await stack.ready();
    const away = { DATABASE_URL: `postgres://u:p@127.0.0.1:${await freePort()}/x` };
    const doctor = await follow('longhaul doctor --no-task', { env: away, status: 1 });
    assert.match(doctor, /^failed +database /m);
    await follow('longhaul doctor --no-task', { env: { DATABASE_URL: stack.databaseUrl } });

    const receiver = await startReceiver(t);
    const task = await send('wait 600000', webhookTo(receiver.url, { token: 'secret' }));
    await assert.rejects(send('say two'), /open tasks/);
    await waitFor('the owner at its limit', async () =>
      /key:alice +openTasks +1 +1 +100%/.test(await follow('longhaul ops owners')),
    );
    await follow('deploy/admin.sh limits set OWNER openTasks=20000', { values: { OWNER: 'key:alice' } });
    await waitFor('the new limit', () => send('say two').catch(() => undefined));

    const refused = await follow('longhaul list', { env: { LONGHAUL_API_KEY: 'wrong' }, status: 1 });
    assert.match(refused, /refused the credentials \(status 401/);
    assert.match(await follow('longhaul list', { more: owner }), new RegExp(task));

    await first.kill('SIGTERM');
    const lost = { ENCRYPTION_KEYS: `new:${randomBytes(32).toString('base64')}` };
    const api = await stack.start('api', lost);
    const isReady = async () => (await fetch(`${stack.apiUrl}/health/ready`)).ok;
    assert.equal(await isReady(), false);
    await api.running.line(/not ready/);
    assert.match(api.running.output(), /key.*ENCRYPTION_KEYS|ENCRYPTION_KEYS.*key/);
    const dropped = await follow('deploy/admin.sh drop-secrets --yes', { env: lost });
    assert.match(dropped, /removed the secrets of 1 webhooks/);
    await waitFor('the api to be ready', isReady);
  });

  walk('tasks-failing', 'a partner is away, and an agent fails', scripted, async (parts, t) => {
    const { stack, follow, send, until } = parts;
    const partner = await startReceiver(t);
    partner.answer(0);
    await Promise.all([stack.start('api'), stack.start('worker', { TEST_LOG_URL: partner.url })]);
    const [waiting, failed] = [await send('step order'), await send('fail the archive is empty')];
    await waitFor('a failing partner', async () => {
      const work = await follow('longhaul ops work failing');
      return new RegExp(`^${waiting} .* [4-9] `, 'm').test(work);
    });
    // The turn waits long enough by itself to be woken first.
    partner.answer(200);
    await follow('longhaul ops wake TASK', { values: { TASK: waiting } });
    await until(waiting, isCompleted);
    const about = { values: { TASK: waiting }, more: owner };
    assert.match(await follow('longhaul timeline TASK', about), /partner_failed: /);
    assert.equal(await follow('longhaul ops work failing'), empty);
    await until(failed, ({ status }) => status.state === 'TASK_STATE_FAILED');
    const again = await follow('longhaul rerun TASK', { values: { TASK: failed }, more: owner });
    assert.match(again, new RegExp(`^${failed} started again as [\\w-]+`));
  });

  walk('leases-lost', 'a worker pauses, and one must be replaced', scripted, async (parts) => {
    const { stack, follow, send, cancel } = parts;
    const [, paused] = await Promise.all([
      stack.start('api'),
      stack.start('worker', { WORKER_NAME: 'paused' }),
    ]);
    const task = await send('step one\nwait 600000');
    await untilPrinted(parts, 'longhaul ops workers', /^paused +1 /m);
    paused.running.child.kill('SIGSTOP');
    const other = await stack.start('worker', { WORKER_NAME: 'other' });
    await untilPrinted(parts, 'longhaul ops workers', /^other +1 /m);
    const about = { values: { TASK: task }, more: owner };
    assert.match(
      await follow('longhaul timeline TASK', about),
      /paused, (crashed|stalled)[^]*other, running/,
    );
    paused.running.child.kill('SIGCONT');
    await follow('longhaul ops drain WORKER', { values: { WORKER: 'other' } });
    assert.equal((await other.running.exited).code, 0);
    await untilPrinted(parts, 'longhaul ops workers', /^paused +1 /m);
    await cancel(task);
  });

  walk('model-capacity', 'the model has no capacity', {}, async (parts) => {
    const { stack, follow, send, until } = parts;
    await Promise.all([stack.start('api'), stack.start('worker')]);
    stack.model.script([
      { match: 'busy', reactions: [{ status: 429, retryDelay: '12s' }, { chunks: ['done'] }] },
    ]);
    const task = await send('are you busy');
    await untilPrinted(parts, 'longhaul ops work parked', new RegExp(`^${task} `, 'm'));
    assert.match(await follow('longhaul ops models'), /^gemini-\S+ +[\d.]+ +1$/m);
    await until(task, isCompleted);
    assert.equal(await follow('longhaul ops work parked'), empty);
  });

  const graceful = { ...scripted, WAKEUP_GRACE_SECONDS: '600' };
  walk('dead-letters', 'Pub/Sub has lost wake-ups', graceful, async (parts) => {
    const { stack, follow, send, until } = parts;
    await stack.start('api');
    const [lost, late] = [await send('say one'), await send('say two')];
    await waitFor('an empty outbox', async () => {
      const { rows } = await stack.pool.query('select from outbox');
      return rows.length === 0;
    });
    // It restarts empty.
    await stack.stopPubSub();
    await stack.startPubSub();
    await stack.pool.query(`update gates set wakeup_at = now() - interval '1 minute' where task_id = $1`, [
      late,
    ]);
    assert.match(await follow('longhaul ops wake --stalled'), /^1 turns are woken/);
    await follow('longhaul ops wake TASK', { values: { TASK: lost } });
    await stack.start('worker');
    for (const task of [lost, late]) await until(task, isCompleted);
  });

  const unseen = { ...scripted, OTEL_METRIC_EXPORT_INTERVAL: '100' };
  walk('no-metrics', 'telemetry does not reach its receiver', unseen, async ({ stack }) => {
    const OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${await freePort()}`;
    const worker = await stack.start('worker', { OTEL_EXPORTER_OTLP_ENDPOINT });
    const message = 'telemetry export failed';
    assert.ok(readSection('no-metrics').includes(`\`${message}\``));
    await worker.running.line(new RegExp(message));
  });

  test('has a walk through each section', () => {
    assert.deepEqual(walked, sectionNames);
  });
});
