/** The commands of `longhaul` against a whole system. outputs.test.ts runs each in a pipe and in a terminal. */
import assert from 'node:assert/strict';
import { Webhook } from 'standardwebhooks';
import { before, describe, test } from 'node:test';
import { runCli, runCliInTerminal, noTerminal, type CliOptions } from '../../../support/clients/cli.ts';
import type { RunResult } from '../../../support/processes/run.ts';
import { createSuiteCleanup } from '../../../support/cleanup.ts';
import { runNode } from '../../../support/processes/processes.ts';
import { createTempDir } from '../../../support/temp-dir.ts';
import { isCompleted, startStack, type RunningService, type Stack } from '../../../support/stack.ts';
import { startReceiver } from '../../../support/webhooks/receiver.ts';

const timeout = 60_000;
const escape = '\u001b';
const replay = 'https://longhaul.dev/ext/replay/v1';
const cancelOrder = 'Use cancel_order with {"order": "1002"}';

describe('longhaul', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  let api: RunningService;
  let worker: RunningService;
  before(async () => {
    stack = await startStack(cleanup, { AGENT_FILE: 'docs/agents/orders.yaml' });
    [api, worker] = await Promise.all([
      stack.start('api'),
      stack.start('worker', { WORKER_NAME: 'first' }),
      stack.start('dispatcher'),
    ]);
  });

  const longhaul = (args: readonly string[], options: CliOptions = {}): Promise<RunResult> =>
    runCli(args, { ...options, env: { LONGHAUL_URL: stack.apiUrl, ...options.env } });
  const done = async (args: readonly string[], options?: CliOptions): Promise<string> => {
    const { status, stdout, stderr } = await longhaul(args, options);
    assert.equal(status, 0, stderr);
    return stdout;
  };

  test('send prints only the answer in a pipe', { timeout }, async () => {
    const { status, stdout, stderr } = await longhaul(['send', 'What is 6 times 7?']);
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /^6 \* 7 = 42\n/);
    const piped = await done(['send', '-', '--json'], { input: 'What is 6 times 7?' });
    assert.equal(JSON.parse(piped).status.state, 'TASK_STATE_COMPLETED');
  });

  test('send --stream prints events as lines of JSON', { timeout }, async () => {
    const lines = (await done(['send', 'What is 6 times 7?', '--stream', '--json'])).trimEnd().split('\n');
    const events = lines.map((line) => JSON.parse(line));
    assert.ok(events[0].task);
    assert.equal(events.at(-1).statusUpdate.status.state, 'TASK_STATE_COMPLETED');
  });

  test('send and watch show text and progress in a terminal', { timeout, skip: noTerminal }, async () => {
    const env = { LONGHAUL_URL: stack.apiUrl, TERM: 'xterm' };
    const sent = await runCliInTerminal(['send', 'What is 6 times 7?'], { env });
    assert.equal(sent.status, 0, sent.stdout);
    assert.match(sent.stdout, new RegExp(`${escape}\\[2mtask [\\w-]+${escape}\\[22m\r\n`));
    assert.match(sent.stdout, /working[^]*6 \* 7 = 42\r\n[^]*completed/);
    const [, id = ''] = /task ([\w-]+)/.exec(sent.stdout) ?? [];
    const watched = await runCliInTerminal(['watch', id], { env: { ...env, NO_COLOR: '1' } });
    assert.equal(watched.status, 0, watched.stdout);
    assert.match(watched.stdout, /6 \* 7 = 42\r\n/);
    assert.ok(!watched.stdout.includes(escape));
  });

  test('watch, get, list and cancel work on a detached task', { timeout }, async () => {
    const id = (await done(['send', 'Good morning', '--at', '1h', '--detach'])).trim();
    const list = await done(['list', '--state', 'submitted']);
    assert.match(list, new RegExp(`^TASK +STATE +SINCE +CONTEXT\n[^]*${id}  submitted`));
    assert.match(await done(['get', id]), /state +submitted\n[^]*user +Good morning\n/);
    const late = await longhaul(['watch', id, '--timeout', '0.3']);
    assert.deepEqual([late.status, late.stderr], [4, 'longhaul: not finished after 0.3 s\n']);
    assert.equal(await done(['cancel', id]), `${id} canceled\n`);
    const canceled = await longhaul(['watch', id]);
    assert.deepEqual([canceled.status, canceled.stdout], [1, '']);
    assert.match(canceled.stderr, /is canceled/);
    const again = await longhaul(['cancel', id]);
    assert.equal(again.status, 1);
    assert.match(again.stderr, new RegExp(`^${id}: `));
  });

  test('send passes metadata on, and names what the agent does not offer', { timeout }, async () => {
    const priority = 'https://longhaul.dev/ext/priority/v1';
    const json = ['--json', '--detach'];
    const sent = await done([
      'send',
      'Hi',
      '--metadata',
      JSON.stringify({ [priority]: 3, mine: 'x' }),
      ...json,
    ]);
    assert.equal(JSON.parse(await done(['get', JSON.parse(sent).task.id, '--json'])).metadata.mine, 'x');
    const tier = await longhaul(['send', 'Hi', '--tier', 'flex']);
    assert.deepEqual([tier.status, /offers no service tiers/.test(tier.stderr)], [2, true], tier.stderr);
    const wrong = await longhaul(['send', 'Hi', '--metadata', JSON.stringify({ [priority]: 99 })]);
    assert.match(wrong.stderr, /must be a whole number from -10 to 10/);
  });

  test('watch resumes after the last event when the api restarts', { timeout }, async (t) => {
    const id = (await done(['send', 'Good morning', '--at', '1h', '--detach'])).trim();
    const watch = runNode(t, ['services/cli/main.ts', 'watch', id, '--json'], {
      env: { LONGHAUL_URL: stack.apiUrl },
    });
    await watch.line(/"task":/);
    await api.kill();
    api = await stack.start('api');
    await done(['cancel', id]);
    assert.equal((await watch.exited).code, 1);
    const events = watch
      .output()
      .split('\n')
      .map((line) => JSON.parse(line));
    const numbers = events
      .map((event) => event.task ?? event.statusUpdate)
      .map(({ metadata }) => metadata[replay].event);
    assert.deepEqual(numbers, [1, 2], 'each event is printed once');
    assert.equal(events.at(-1).statusUpdate.status.state, 'TASK_STATE_CANCELED');
  });

  test('answer continues a task that asks', { timeout }, async () => {
    const asked = await longhaul(['send', 'Ask me which city', '--json']);
    assert.equal(asked.status, 3);
    const { id } = JSON.parse(asked.stdout);
    const { status, stderr } = await longhaul(['answer', id, 'Paris']);
    assert.equal(status, 0, stderr);
  });

  test('approve and refuse decide the calls of tools', { timeout }, async () => {
    for (const [command, ran] of [
      ['refuse', false],
      ['approve', true],
    ] as const) {
      const sent = await longhaul(['send', cancelOrder, '--json']);
      assert.equal(sent.status, 3);
      const { id } = JSON.parse(sent.stdout);
      const output = await done([command, id]);
      assert.equal(/cancelled/.test(output), ran, output);
      const { status, stderr } = await longhaul([command, id]);
      assert.equal(status, 1);
      assert.match(stderr, /waits for no approval: it is TASK_STATE_COMPLETED/);
    }
  });

  test('webhooks of a task are listed, repeated and tested', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const id = (await done(['send', 'Hello', '--detach', '--webhook', receiver.url])).trim();
    await stack.until(id, isCompleted);
    await receiver.match(/TASK_STATE_COMPLETED/);

    const [list, one, timeline, secret] = await Promise.all([
      done(['webhooks', 'list', id]),
      done(['webhooks', 'redeliver', id, '--event', '1']),
      done(['timeline', id]),
      done(['webhooks', 'rotate-secret', id]),
      done(['webhooks', 'test', id]),
    ]);
    assert.match(list, /^WEBHOOK +EVENTS +STATE +FAILURES +URL\n\S+ +state +active +0 +http/);
    assert.equal(one, '1 to be delivered\n');
    assert.match(
      timeline,
      /T\S+Z +turn 1 +accepted +\d+\.\d{3} s\n[^]*attempt of turn 1 +\S+, finished[^]*step /,
    );
    assert.match(timeline, /event (\d+) +completed[^]*webhook of event \1 +\S+: delivered/);
    assert.match(secret, /^whsec_\S+\n$/);
    const deliveries = (await done(['webhooks', 'deliveries', id, '--json'])).trimEnd().split('\n');
    assert.equal(deliveries.length, 4, 'three events and the test');
    const { status, stderr } = await longhaul(['webhooks', 'redeliver', id]);
    const expected = 'longhaul: with a task, expected either --event <number> or --since <time>\n';
    assert.deepEqual([status, stderr], [2, expected]);
    const counted = await longhaul(['webhooks', 'redeliver', id, '--since', '10m', '--dry-run']);
    assert.equal(counted.status, 2);
    assert.match(
      counted.stderr,
      /--dry-run are for the webhooks of all tasks, .*expected --event <number> or --since/,
    );
  });

  test('rerun, stats and usage work on tasks that have ended', { timeout }, async () => {
    const { id } = await stack.submit('What is 6 times 7?');
    await stack.until(id, isCompleted);
    const [dry, again, stats, usage, unknown] = await Promise.all([
      done(['rerun', id, '--dry-run']),
      done(['rerun', id, '--json']),
      done(['stats']),
      done(['usage']),
      longhaul(['rerun', id, '--from-step', 'model#1']),
    ]);
    assert.equal(dry, `${id} would be started again\n`);
    await stack.until(JSON.parse(again).newTaskId, isCompleted);
    assert.match(stats, /^STATE +TASKS +CHANGED[^]*completed +\d+[^]*p50 \/ p90 \/ p99/);
    assert.match(usage, /^DAY +MODEL +CALLS +TOKENS +COST\n\d{4}-/);
    assert.equal(unknown.status, 1);
    assert.match(unknown.stderr, new RegExp(`^${id}: the task has ended, which is final`));
  });

  test('webhooks of all tasks are listed and redelivered', { timeout }, async () => {
    const [list, counted, wrong] = await Promise.all([
      done(['webhooks', 'list', '--health', 'disabled', '--json']),
      done(['webhooks', 'redeliver', '--since', '2026-01-01T00:00:00Z', '--dry-run']),
      longhaul(['webhooks', 'redeliver']),
    ]);
    assert.deepEqual([list, counted], ['', '0 would be delivered\n']);
    assert.deepEqual(
      [wrong.status, wrong.stderr],
      [2, 'longhaul: expected a task, or --since <time> for the webhooks of all tasks\n'],
    );
  });

  test('doctor runs a task and gets its webhook', { timeout }, async () => {
    const output = await done(['doctor'], { env: { DATABASE_URL: stack.databaseUrl } });
    for (const part of ['Node.js', 'database', 'agent', 'clock', 'task', 'webhook']) {
      assert.match(output, new RegExp(`^ok +${part} `, 'm'));
    }
    const { rows } = await stack.pool.query(
      `select url from webhook_configs where url like 'http://localhost:%'`,
    );
    assert.deepEqual(rows, [], 'it leaves no webhook');
  });

  test('webhooks listen forwards signed events of all tasks', { timeout }, async (t) => {
    const receiver = await startReceiver(t);
    const env = { LONGHAUL_URL: stack.apiUrl, XDG_CONFIG_HOME: createTempDir(t) };
    const args = ['webhooks', 'listen', '--forward-to', receiver.url];
    const listen = runNode(t, ['services/cli/main.ts', ...args], { env });
    await listen.line(/^forwarding events of .* to http/);
    const { id } = await stack.submit('What is 6 times 7?');
    const last = (await receiver.match(/TASK_STATE_COMPLETED/)).at(-1);
    const secret = (await done(['webhooks', 'listen', '--print-secret'], { env })).trim();
    const event = new Webhook(secret).verify(last!.body, last!.headers as Record<string, string>) as {
      task: { id: string };
    };
    assert.equal(event.task.id, id);
    await listen.line(new RegExp(`^${id} event \\d+ completed: 200$`));
    assert.match(receiver.received[0]!.body, /"statusUpdate":.*TASK_STATE_SUBMITTED.*"event":1/);
    assert.equal(receiver.received.length, 3);
  });

  test('schedules are created, run, shown, paused and deleted', { timeout }, async () => {
    const schedules = (...args: string[]): Promise<string> => done(['schedules', ...args]);
    const times = ['--cron', '0 9 * * 1-5', '--time-zone', 'Europe/Berlin'];
    assert.match(
      await schedules('create', 'report', 'What is 6 times 7?', ...times),
      /^report is next due at 20/,
    );
    const id = (await schedules('run', 'report')).trim();
    const [list, history, paused] = await Promise.all([
      schedules('list'),
      schedules('history', 'report', '--json'),
      schedules('pause', 'report', '--json'),
    ]);
    assert.match(list, new RegExp(`report +0 9 \\* \\* 1-5 Europe/Berlin +skip .*${id}`));
    const firing = JSON.parse(history);
    assert.deepEqual([firing.state, firing.manual, firing.taskId], ['started', true, id]);
    assert.equal(JSON.parse(paused).paused, true);
    const [deleted, twice] = await Promise.all([
      schedules('delete', 'report'),
      longhaul(['schedules', 'create', 'both', 'x', '--every', '1h', '--cron', '* * * * *']),
    ]);
    assert.equal(deleted, 'report is deleted\n');
    assert.deepEqual([twice.status, twice.stderr], [2, 'longhaul: expected either --cron or --every\n']);
  });

  test('operators act for an owner, and on workers', { timeout }, async () => {
    const id = (await done(['send', 'Good morning', '--at', '1h', '--detach'])).trim();
    const as = ['--owner', 'anonymous'];
    assert.match(await done(['list', '--state', 'submitted', ...as]), new RegExp(`^${id}  submitted`, 'm'));
    assert.match(await done(['timeline', id, ...as]), /turn 1 +accepted/);
    assert.equal(await done(['list', '--owner', 'key:none', '--json']), '');
    const foreign = await longhaul(['cancel', id, '--owner', 'key:none']);
    assert.deepEqual([foreign.status, foreign.stderr], [1, `${id}: was not found\n`]);
    assert.equal(await done(['cancel', id, ...as]), `${id} canceled\n`);
    const owners = await done(['ops', 'owners', '--all']);
    assert.match(
      owners,
      /^OWNER +LIMIT +USED +MAX +SHARE +SET\n[^]*^anonymous +storedBytes +[\d.]+ \w+ +none +- +default$/m,
    );
    assert.match(await done(['ops', 'usage']), /^DAY +OWNER +CALLS +TOKENS +COST\n\S+ +anonymous /);
    const drain = await longhaul(['ops', 'drain', 'WORKER']);
    assert.deepEqual([drain.status, /no worker WORKER runs a turn/.test(drain.stderr)], [1, true]);
    const wake = await longhaul(['ops', 'wake', 'TASK']);
    assert.deepEqual([wake.status, wake.stderr], [1, 'TASK: no turn of it waits to be woken\n']);
  });

  test('a worker that an operator drains exits', { timeout }, async () => {
    await stack.pool.query(`insert into worker_drains (worker) values ('first')`);
    assert.equal((await worker.running.exited).code, 0);
    assert.match(worker.running.output(), /an operator has asked this worker to drain/);
  });

  test('wrong usage has status 2, and says what is expected', { timeout }, async () => {
    const cases: [string[], RegExp][] = [
      [['send'], /there is nothing to send/],
      [['send', 'x', '--wait', '--detach'], /cannot be used with option/],
      [['send', 'x', '--at', 'tomorrow'], /Expected a time such as/],
      [['send', 'x', '--file', '/nonexistent/a'], /cannot be read/],
      [['list', '--state', 'busy'], /Expected one of submitted, working/],
      [['get', 'x', '--url', 'ftp://x'], /is not an address/],
      [['get', 'x', '--profile', 'none'], /the profile none is not in/],
      [['unknown'], /unknown command/],
    ];
    const results = await Promise.all(cases.map(([args]) => longhaul(args)));
    for (const [index, { status, stderr }] of results.entries()) {
      assert.equal(status, 2, cases[index]![0].join(' '));
      assert.match(stderr, cases[index]![1]);
    }
    const missing = await longhaul(['get', 'a8f1e7f2-5c54-4b0c-9c9d-000000000000']);
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /^longhaul: .*was not found\n$/);
  });
});
