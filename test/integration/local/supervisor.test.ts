import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../support/ports.ts';
import { isAlive, runNode, waitUntilGone, type RunningProcess } from '../../support/processes/processes.ts';
import type { FakeChild } from '../../support/processes/supervisor-holder.ts';

const holder = fileURLToPath(new URL('../../support/processes/supervisor-holder.ts', import.meta.url));
const timeout = 60_000;

interface Entry {
  service: string;
  message: string;
  pid?: number;
  port?: number;
  lines?: string[];
}

function hold(t: TestContext, children: FakeChild[]): RunningProcess {
  return runNode(t, [holder], { env: { CHILDREN: JSON.stringify(children) } });
}

function entries(running: RunningProcess): Entry[] {
  return running
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Entry);
}

function readyOf(running: RunningProcess, service: string): Entry[] {
  return entries(running).filter((entry) => entry.service === service && entry.message === 'ready');
}

test(
  'SIGTERM stops the services before what they stand on, and kills who does not end',
  { timeout },
  async (t) => {
    const stack = hold(t, [
      { name: 'base', tier: 1 },
      { name: 'slow', tier: 2, env: { DRAIN_MS: '150' } },
      { name: 'deaf', tier: 2, env: { IGNORE_SIGTERM: '1' }, stopMs: 300 },
    ]);
    await stack.line(/all up/);
    const pids = ['base', 'slow', 'deaf'].map((name) => readyOf(stack, name)[0]!.pid!);
    const begun = performance.now();
    stack.child.kill('SIGTERM');
    assert.deepEqual(await stack.exited, { code: 0, signal: null });
    const took = performance.now() - begun;
    assert.ok(took >= 290 && took < 4_000, `${took} ms`);
    assert.ok(!pids.some(isAlive));
    const told = entries(stack).map(({ service, message }) => `${service} ${message}`);
    assert.ok(told.indexOf('slow drained') > told.indexOf('slow draining'));
    assert.ok(told.indexOf('base draining') > told.indexOf('slow drained'), told.join('\n'));
  },
);

test('a second signal stops at once; one in the same moment is the same Ctrl-C', { timeout }, async (t) => {
  const stopsTwice = async (): Promise<{ took: number; outlived: boolean }> => {
    const stack = hold(t, [{ name: 'slow', tier: 1, env: { DRAIN_MS: '60000' }, stopMs: 60_000 }]);
    await stack.line(/all up/);
    const [{ pid }] = readyOf(stack, 'slow') as [Entry];
    stack.child.kill('SIGINT');
    await stack.line(/"draining"/);
    stack.child.kill('SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 450)); // past the moment: time is what is tested here
    const outlived = isAlive(pid!);
    const begun = performance.now();
    stack.child.kill('SIGINT');
    await stack.exited;
    assert.ok(!isAlive(pid!));
    return { took: performance.now() - begun, outlived };
  };
  // On a busy machine the moment may be over before the second signal is there.
  const rounds: { took: number; outlived: boolean }[] = [];
  while (rounds.length < 4 && !rounds.some(({ outlived }) => outlived)) rounds.push(await stopsTwice());
  assert.ok(rounds.some(({ outlived }) => outlived));
  for (const { took } of rounds) assert.ok(took < 3_000, `${took} ms`);
});

test('after SIGKILL of the parent no child is left', { timeout }, async (t) => {
  const stack = hold(t, [
    { name: 'one', tier: 1 },
    { name: 'two', tier: 2, env: { IGNORE_SIGTERM: '1' } },
  ]);
  await stack.line(/all up/);
  const pids = ['one', 'two'].map((name) => readyOf(stack, name)[0]!.pid!);
  stack.child.kill('SIGKILL');
  await waitUntilGone(pids, 20_000);
});

test('nor is one that is just ending, and finds nobody who reads its log', { timeout }, async (t) => {
  const file = (name: string) => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)));
  const script = `require('node:child_process').spawn(
    process.execPath,
    ['--import', ${file('../../../services/local/processes/die-with-parent.ts')}, ${file('../../support/processes/log-at-the-end.ts')}],
    { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] },
  ).stdout.pipe(process.stdout)`;
  const parent = runNode(t, ['-e', script]);
  const pid = Number((await parent.line(/"pid":(\d+).*"ready"/))[1]);
  process.kill(pid, 'SIGTERM');
  parent.child.kill('SIGKILL');
  try {
    await waitUntilGone([pid], 20_000);
  } finally {
    if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  }
});

test(
  'a child that dies is started again on the same port, and told to the others',
  { timeout },
  async (t) => {
    const stack = hold(t, [
      { name: 'stays', tier: 1 },
      { name: 'dies', tier: 1 },
      { name: 'serves', tier: 2, ready: 'health', port: await freePort() },
    ]);
    await stack.line(/all up/);
    for (const name of ['dies', 'serves']) {
      const [first] = readyOf(stack, name);
      process.kill(first!.pid!, 'SIGKILL');
      await stack.line(new RegExp(`${name}: exited unexpectedly \\(signal SIGKILL\\)`));
      await stack.line(new RegExp(`${name} is running again`));
      const [, second] = readyOf(stack, name);
      assert.notEqual(second!.pid, first!.pid);
      assert.equal(second!.port, first!.port);
      assert.ok(entries(stack).some(({ message }) => message === `restarted ${name}`));
    }
    assert.equal(readyOf(stack, 'stays').length, 1);
  },
);

test(
  'a child that cannot start ends the start after three attempts, with its last words',
  { timeout },
  async (t) => {
    const stack = hold(t, [
      { name: 'fine', tier: 1 },
      { name: 'wet', tier: 1, env: { FAIL: '3' } },
    ]);
    assert.equal((await stack.exited).code, 1);
    const told = entries(stack);
    assert.equal(told.filter(({ message }) => message === 'Error: the cellar is flooded').length, 3);
    const last = told.find(({ message }) => message.startsWith('did not start'));
    assert.match(last!.message, /wet exited before it was ready \(exit code 3\)/);
    assert.deepEqual(last!.lines, ['Error: the cellar is flooded']);
    await waitUntilGone(
      readyOf(stack, 'fine').map(({ pid }) => pid!),
      0,
    );
  },
);

test('a wrong configuration is not tried again', { timeout }, async (t) => {
  const stack = hold(t, [{ name: 'wrong', tier: 1, env: { FAIL: '78' } }]);
  assert.equal((await stack.exited).code, 1);
  assert.equal(entries(stack).filter(({ message }) => message === 'Error: the cellar is flooded').length, 1);
});
