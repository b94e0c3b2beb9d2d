/** The shell examples of docs/extensions, run as written against a whole system; only ids, times and ports differ. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { TaskStats, Timeline, UsageReport } from '#shared/domain/views.ts';
import { createSuiteCleanup } from '../support/cleanup.ts';
import { isCompleted, startStack, type Stack } from '../support/stack.ts';
import { runNode } from '../support/processes/processes.ts';
import { waitFor } from '../support/wait-for.ts';
import { startReceiver } from '../support/webhooks/receiver.ts';
import type { AnyJson } from '../support/clients/any-json.ts';

const folder = new URL('../../docs/extensions/', import.meta.url);
const skip = spawnSync('curl', ['--version']).status !== 0 && 'curl is not installed';
const approval = 'https://longhaul.dev/ext/approval/v1';

interface Answer {
  status: number;
  body: AnyJson;
}

describe('docs/extensions', { skip }, () => {
  const cleanup = createSuiteCleanup();
  const examples = new Map(
    readdirSync(folder).flatMap((page) => {
      const blocks = readFileSync(new URL(page, folder), 'utf8').matchAll(/^```sh\n(.*?)^```/gms);
      return [...blocks].map(([, code = ''], index): [string, string] => [`${page} ${index + 1}`, code]);
    }),
  );
  let stack: Stack;
  before(async () => {
    // The agent accepts text only.
    stack = await startStack(cleanup, { AGENT_FILE: 'docs/agents/orders.yaml' });
    await Promise.all((['api', 'worker', 'dispatcher'] as const).map((kind) => stack.start(kind)));
    await stack.ready();
  });
  after(() => assert.deepEqual([...examples.keys()], [], 'every example is run'));

  /** Runs a code block of a page, and returns the answer of each of its commands. */
  async function run(example: string, ...replacements: readonly [string, string][]): Promise<Answer[]> {
    let code = examples.get(example);
    assert.ok(code !== undefined, `${example} is missing`);
    examples.delete(example);
    // Each example creates a message of its own.
    const unique = code.replace(/"messageId": "[^"]+"/, `"messageId": "${randomUUID()}"`);
    code = unique.replaceAll('http://localhost:8080', stack.apiUrl);
    for (const [from, to] of replacements) {
      assert.ok(code.includes(from), `${example} has no ${from}`);
      code = code.replaceAll(from, to);
    }
    const withStatus = `curl() { command curl -w '\\n%{http_code}\\n' "$@"; }\n${code}`;
    const child = spawn('bash', ['-c', withStatus], { stdio: ['ignore', 'pipe', 'inherit'] });
    const answers = [...(await text(child.stdout)).matchAll(/(.*?)\n(\d{3})\n/gs)].map(
      ([, body = '', status]) => ({
        status: Number(status),
        body: body.startsWith('{') ? JSON.parse(body) : body,
      }),
    );
    for (const { status, body } of answers) {
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body.error, undefined, JSON.stringify(body));
    }
    assert.ok(answers.length > 0);
    return answers;
  }

  async function askForApproval(): Promise<string> {
    const task = await stack.submit('Use cancel_order with {"order": "1002"}');
    await stack.until(task.id, ({ status }) => status.state === 'TASK_STATE_AUTH_REQUIRED');
    return task.id;
  }

  test('approval: the task asks for the documented call', async () => {
    const [answer] = await run('approval.md 1');
    const { status } = answer!.body.result.task;
    assert.equal(status.state, 'TASK_STATE_AUTH_REQUIRED');
    const page = readFileSync(new URL('approval.md', folder), 'utf8');
    const [, documented = ''] = /^```json\n(.*?)^```/ms.exec(page) ?? [];
    assert.deepEqual(status.message.parts[1].data, JSON.parse(documented));
    const card = await (await fetch(`${stack.apiUrl}/.well-known/agent-card.json`)).json();
    assert.match(JSON.stringify(card), /"https:\/\/longhaul\.dev\/ext\/approval\/v1"/);
  });

  for (const [example, outcome] of [
    ['approval.md 2', '"state":"cancelled"'],
    ['approval.md 3', 'The user refused this call. Reason: The customer wants to keep the order.'],
    ['approval.md 4', '"state":"cancelled"'],
  ] as const) {
    test(`approval: ${example} decides the call`, async () => {
      const id = await askForApproval();
      const [answer] = await run(example, ['TASK_ID', id]);
      assert.equal(answer!.body.result.task.status.state, 'TASK_STATE_COMPLETED');
      const { rows } = await stack.pool.query(
        `select output::text from steps where task_id = $1 and name = 'tool:cancel_order'`,
        [id],
      );
      const recorded = rows.map(({ output }) => output).join() + JSON.stringify(answer!.body);
      assert.ok(recorded.includes(outcome), recorded);
    });
  }

  test('approval: a decision that cannot be read is refused with the name of the field', async () => {
    const id = await askForApproval();
    const decisions = [{ id: '1.1.1', approve: 'yes' }];
    for (const [message, field] of [
      [{ parts: [{ data: { [approval]: { decisions } } }] }, 'message.parts[0].data'],
      [{ parts: [{ text: 'yes' }], metadata: { [approval]: { decisions } } }, 'message.metadata'],
    ] as const) {
      const { error } = await stack.rpc('SendMessage', {
        message: { messageId: randomUUID(), taskId: id, role: 'ROLE_USER', ...message },
      });
      assert.equal(error?.code, -32_602);
      assert.ok(
        error.message.includes(`${field}["${approval}"].decisions.0.argumentsHash is missing`),
        error.message,
      );
    }
  });

  test('priority and schedule: the tasks are accepted and wait', async () => {
    const [urgent] = await run('priority.md 1');
    await stack.until(urgent!.body.result.task.id, isCompleted);
    const hour = 3_600_000;
    const later = (hours: number) => new Date(Date.now() + hours * hour).toISOString();
    const [scheduled] = await run(
      'schedule.md 1',
      ['2027-06-01T06:00:00Z', later(1)],
      ['2027-06-01T08:00:00Z', later(2)],
    );
    assert.equal(scheduled!.body.result.task.status.state, 'TASK_STATE_SUBMITTED');
  });

  test('schedules: the schedule starts tasks, by hand and when it is due', async (t) => {
    const receiver = await startReceiver(t);
    const [created] = await run('schedules.md 1', ['http://localhost:9000/', receiver.url]);
    assert.equal(created!.body.id, 'morning-report');
    const due = await stack.pool.query(
      `update schedules set next_at = now(), wakeup_at = now() where id = 'morning-report' returning next_at`,
    );
    const firings = `${stack.apiUrl}/a2a/v1/schedules/morning-report/firings`;
    const [fired] = await waitFor('the due time to start a task', async () => {
      const { firings: rows } = (await (await fetch(firings)).json()) as {
        firings: { dueAt: string; taskId: string }[];
      };
      return rows.length > 0 && rows;
    });
    assert.equal(fired!.dueAt, due.rows[0].next_at.toISOString());
    await stack.until(fired!.taskId, isCompleted);
    const [listed, got, started, history, paused, resumed] = await run('schedules.md 2');
    assert.equal(listed!.body.schedules.length, 1);
    assert.equal(got!.body.lastTaskId, fired!.taskId);
    const first = history!.body.firings[0];
    assert.deepEqual([first.taskId, first.manual], [started!.body.taskId, true]);
    assert.deepEqual([paused!.body.paused, resumed!.body.paused], [true, false]);
    await stack.until(started!.body.taskId, isCompleted);
    await receiver.count(2);
  });

  test('replay: the stream starts after the given event', async () => {
    const { id } = await stack.submit('What is 6 times 7?');
    await stack.until(id, isCompleted);
    const [answer] = await run('replay.md 1', ['TASK_ID', id]);
    assert.match(answer!.body, /^id: 2\n/m);
    assert.match(answer!.body, /TASK_STATE_COMPLETED/);
  });

  test('tasks: the timeline shows a turn with its attempt and steps', async () => {
    const { id } = await stack.submit('What is 6 times 7?');
    await stack.until(id, isCompleted);
    const [answer, stream] = await run('tasks.md 1', ['TASK_ID', id]);
    assert.match(stream!.body, /^id: \d+\ndata: .*TASK_STATE_COMPLETED/);
    const { state, turns, events } = answer!.body as Timeline;
    assert.equal(state, 'TASK_STATE_COMPLETED');
    const [{ attempts, steps }] = turns as [Timeline['turns'][0]];
    assert.deepEqual(
      attempts.map(({ outcome }) => outcome),
      ['finished'],
    );
    assert.ok(steps.some(({ usage }) => usage !== undefined && usage.tokens.output > 0));
    assert.equal(events[0]!.event, 1);
  });

  test('tasks: the feed shows changes, with ids to continue from', async () => {
    const running = run('tasks.md 2', ['--max-time 60', '--max-time 3']);
    await waitFor('the feed to be open', async () => {
      const { rows } = await stack.pool.query(
        `select from pg_stat_activity where query like '%pg_visible_in_snapshot%' and pid <> pg_backend_pid()`,
      );
      return rows.length > 0;
    });
    const { id } = await stack.submit('What is 6 times 7?');
    const [answer] = await running;
    assert.match(answer!.body, new RegExp(`^id: [\\d-]+\ndata: {"taskId":"${id}".*"event":1,`, 'm'));
  });

  test('tasks: search, stats and usage return figures and tasks', async () => {
    const { id } = await stack.submit('What is 6 times 7?');
    await stack.until(id, isCompleted);
    const [found, failed, stats, usage] = await run('tasks.md 3');
    assert.ok(found!.body.tasks.some(({ taskId }: { taskId: string }) => taskId === id));
    assert.deepEqual(failed!.body.tasks, []);
    assert.ok((stats!.body as TaskStats).states.TASK_STATE_COMPLETED > 0);
    const { lines } = usage!.body as UsageReport;
    assert.ok(lines.length === 0 || lines[0]!.tokens.output > 0);
  });

  test('tasks: an ended task is not canceled, and is rerun as a new one', async () => {
    const { id } = await stack.submit('What is 6 times 7?');
    await stack.until(id, isCompleted);
    const [canceled, rerun] = await run('tasks.md 4', ['TASK_ID', id]);
    assert.equal(canceled!.body.results[0].outcome, 'ended');
    await stack.until(rerun!.body.results[0].newTaskId, isCompleted);
  });

  test('webhooks: options, inspection, redelivery, tests and secrets work', async (t) => {
    const receiver = await startReceiver(t);
    const target: [string, string] = ['http://localhost:9000/', receiver.url];
    const [sent] = await run('webhooks.md 1', target);
    const { id } = sent!.body.result.task;
    await receiver.count(1);
    const [created] = await run('webhooks.md 2', target, ['TASK_ID', id]);
    await receiver.count(2);
    const config = `/a2a/v1/tasks/${id}/webhooks/${created!.body.id}`;
    await waitFor('the delivery to be recorded', async () => {
      const answer = await fetch(`${stack.apiUrl}${config}/deliveries?state=delivered`);
      return ((await answer.json()) as { deliveries: object[] }).deliveries.length === 1;
    });
    const { deliveries } = (await (await fetch(`${stack.apiUrl}${config}/deliveries`)).json()) as {
      deliveries: { event: number }[];
    };
    const [configs, listed, again, since, tested, secret] = await run(
      'webhooks.md 3',
      ['TASK_ID', id],
      ['CONFIG_ID', created!.body.id],
      ['deliveries/1/', `deliveries/${deliveries[0]!.event}/`],
    );
    assert.equal(configs!.body.webhooks.length, 2);
    assert.equal(listed!.body.deliveries.length, 1);
    assert.deepEqual([again!.body, since!.body, tested!.body], [{ count: 1 }, { count: 0 }, { count: 1 }]);
    assert.match(secret!.body.secret, /^whsec_/);
    await receiver.count(4);
    const [disabled, counted] = await run('webhooks.md 4');
    assert.deepEqual([disabled!.body.webhooks, counted!.body.count], [[], 0]);
  });

  test('operator: reports, wake-ups and calls for an owner work', async () => {
    const { id } = await stack.submit('What is 6 times 7?');
    await stack.until(id, isCompleted);
    const [backlog, , work, , , owners] = await run('operator.md 1');
    assert.equal(typeof backlog!.body.turnsWaiting, 'number');
    assert.deepEqual(work!.body, { work: [] });
    assert.ok(owners!.body.owners.some(({ owner }: { owner: string }) => owner === 'anonymous'));
    const [task, steps] = await run('operator.md 2', ['TASK_ID', id]);
    assert.equal(task!.body.owner, 'anonymous');
    assert.equal(steps!.body.steps[0].name, 'model');
    const held = await stack.submit('Good morning', {
      metadata: {
        'https://longhaul.dev/ext/schedule/v1': { startAt: new Date(Date.now() + 3_600_000).toISOString() },
      },
    });
    await stack.pool.query(
      `update gates set worker = 'held', claimed_at = now(), lease_until = now() + interval '1 hour' where task_id = $1`,
      [held.id],
    );
    const [woken, drained] = await run('operator.md 3', ['"WORKER"', '"held"']);
    assert.deepEqual([woken!.body, drained!.body], [{ taskIds: [] }, { worker: 'held' }]);
    const [found] = await run('operator.md 4', ['OWNER', 'anonymous'], ['_FAILED', '_COMPLETED']);
    assert.ok(found!.body.tasks.length > 0);
  });

  test('runs the example of docs/use/client.md', async (t) => {
    const page = readFileSync(new URL('../use/client.md', folder), 'utf8');
    const [, code = ''] = /^```js\n(\/\/ client\.mjs\n.*?)^```/ms.exec(page) ?? [];
    const root = fileURLToPath(new URL('../../', folder));
    mkdirSync(path.join(root, '.longhaul'), { recursive: true });
    // In the package, so that `longhaul/client` resolves.
    const dir = mkdtempSync(path.join(root, '.longhaul/docs-'));
    t.after(() => rmSync(dir, { recursive: true }));
    const file = path.join(dir, 'client.mjs');
    writeFileSync(file, code.replace('http://localhost:8080', stack.apiUrl));
    const running = runNode(t, [file]);
    assert.deepEqual((await running.exited).code, 0, running.output());
    const lines = running.output().split('\n');
    assert.equal(lines[0], 'May it run cancel_order {"order":"1002"}?');
    assert.equal(lines.at(-1), 'TASK_STATE_COMPLETED');
    assert.match(lines.at(-2) ?? '', /^\d+ statusUpdate$/);
  });
});
