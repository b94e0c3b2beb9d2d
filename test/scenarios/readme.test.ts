/** The commands of README.md, docs/use/tasks.md and docs/use/python.md, run as written against a whole system; only the ports differ. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { before, describe, test, type TestContext } from 'node:test';
import { createSuiteCleanup } from '../support/cleanup.ts';
import { freePort } from '../support/network/ports.ts';
import { runNode } from '../support/processes/processes.ts';
import { isCompleted, startStack, type Stack, type TaskJson } from '../support/stack.ts';
import { writeTempFile } from '../support/temp-dir.ts';
import { waitFor } from '../support/wait-for.ts';

const timeout = 60_000;
const readPage = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');
const readme = readPage('README.md');
const skip = spawnSync('curl', ['--version']).status !== 0 && 'curl is not installed';

/** The first code block of a section. */
function getCodeBlock(section: string, language: string, page = readme): string {
  const [, content = ''] = new RegExp(`^## ${section}\n(.*?)^## `, 'ms').exec(page) ?? [];
  const [, code] = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'ms').exec(content) ?? [];
  assert.ok(code !== undefined, `the page has no ${language} in "${section}"`);
  return code;
}

async function runCurl(stack: Stack, command: string): Promise<TaskJson> {
  const local = command.replaceAll('http://localhost:8080', stack.apiUrl);
  assert.notEqual(local, command);
  const child = spawn('bash', ['-c', local], { stdio: ['ignore', 'pipe', 'inherit'] });
  const { result } = JSON.parse(await text(child.stdout)) as { result: { task: TaskJson } };
  return result.task;
}

async function startReceiver(t: TestContext, port: number): Promise<() => string> {
  const file = writeTempFile(
    t,
    'receiver.mjs',
    getCodeBlock('First webhook', 'js').replace('9000', String(port)),
  );
  const { output } = runNode(t, [file]);
  await waitFor('the receiver to listen', async () =>
    fetch(`http://localhost:${port}`, { method: 'POST', body: '{}' }).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
  return output;
}

const hasPython = spawnSync('python3', ['--version']).status === 0;
const hasHttpx = hasPython && spawnSync('python3', ['-c', 'import httpx']).status === 0;

const cleanup = createSuiteCleanup();
let stack: Stack;
before(async () => {
  stack = await startStack(cleanup);
  await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
  await stack.ready();
});

describe('README.md', { skip }, () => {
  test('returns the finished first task', { timeout }, async () => {
    const task = await runCurl(stack, getCodeBlock('First task', 'sh'));
    assert.equal(task.status.state, 'TASK_STATE_COMPLETED');
    assert.match(task.artifacts?.[0]?.parts[0]?.text ?? '', /^6 \* 7 = 42/);
  });

  test('prints the events of a task with the client of the SDK', { timeout }, async (t) => {
    const code = getCodeBlock('First task', 'ts').replace('http://localhost:8080', stack.apiUrl);
    const { output, exited } = runNode(t, ['--input-type=module', '--eval', code]);
    await exited;
    assert.match(output(), /6 \* 7 = 42/);
    assert.doesNotMatch(output(), /\[Object\]/);
  });

  test('prints the three events of the first webhook', { timeout }, async (t) => {
    const port = await freePort();
    const output = await startReceiver(t, port);
    const command = getCodeBlock('First webhook', 'sh').replace(':9000', `:${port}`);
    const { id: first } = await runCurl(stack, command);
    const { id } = await runCurl(stack, command);
    assert.notEqual(id, first, 'the command can be sent again');
    const lines = await waitFor('three webhooks', () => {
      const found = output()
        .split('\n')
        .filter((line) => line.startsWith(id));
      return found.length === 3 && found;
    });
    const states = lines.map((line) => /"state":"TASK_STATE_(\w+)"/.exec(line)?.[1]);
    assert.deepEqual(states, ['SUBMITTED', 'WORKING', 'COMPLETED']);
    assert.match(lines[2] ?? '', /6 \* 7 = 42/);
  });
});

describe('docs/use/tasks.md', { skip }, () => {
  const page = readPage('docs/use/tasks.md');
  const run = async (code: string): Promise<string> => {
    const local = code.replaceAll('http://localhost:8080', stack.apiUrl);
    return text(spawn('bash', ['-c', local], { stdio: ['ignore', 'pipe', 'inherit'] }).stdout);
  };

  test('submits a task, reads it and waits for it', { timeout }, async () => {
    const [send = '', get = ''] = getCodeBlock('Submit, then read', 'sh', page).split('\n\n');
    const { result } = JSON.parse(await run(send)) as { result: { task: TaskJson } };
    const { id } = result.task;
    await stack.until(id, isCompleted);
    assert.equal(JSON.parse(await run(get.replace('TASK_ID', id))).result.id, id);
    const poll = getCodeBlock('Cheap polling', 'sh', page).replace('TASK_ID', id);
    const [, etag = ''] = /^etag: "([^"]+)"/im.exec(await run(poll)) ?? [];
    assert.match(await run(poll.replace('ETAG', etag).replace('wait=30', 'wait=0')), /^HTTP\/1\.1 304/);
  });

  test('streams a task', { timeout }, async () => {
    const streamed = await run(getCodeBlock('Stream', 'sh', page));
    assert.match(streamed, /^id: 1\b[^]*TASK_STATE_COMPLETED/);
  });
});

describe('docs/use/python.md', { skip: !hasPython }, () => {
  const code = /^```py\n# client\.py\n(.*?)^```/ms.exec(readPage('docs/use/python.md'))?.[1] ?? '';

  test('has a client that compiles', (t) => {
    const { status, stderr } = spawnSync('python3', [
      '-m',
      'py_compile',
      writeTempFile(t, 'client.py', code),
    ]);
    assert.equal(status, 0, String(stderr));
  });

  test('prints the events of a task', { timeout, skip: !hasHttpx }, async (t) => {
    const file = writeTempFile(t, 'client.py', code.replace('http://localhost:8080', stack.apiUrl));
    const output = await text(spawn('python3', [file], { stdio: ['ignore', 'pipe', 'inherit'] }).stdout);
    assert.match(output, /^\d task\n(?:\d+ (?:statusUpdate|artifactUpdate)\n)+6 \* 7 = 42/);
  });
});
