/** The commands of README.md, run as written against a whole system; only the ports differ. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import { freePort } from '../support/ports.ts';
import { startStack, type Stack, type TaskJson } from '../support/stack.ts';
import { writeTempFile } from '../support/temp-dir.ts';
import { waitFor } from '../support/wait-for.ts';

const timeout = 60_000;
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const skip = spawnSync('curl', ['--version']).status !== 0 && 'curl is not installed';

/** The first code block of a section. */
function getCodeBlock(section: string, language: string): string {
  const [, content = ''] = new RegExp(`^## ${section}\n(.*?)^## `, 'ms').exec(readme) ?? [];
  const [, code] = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'ms').exec(content) ?? [];
  assert.ok(code !== undefined, `README.md has no ${language} in "${section}"`);
  return code;
}

async function startServices(t: TestContext): Promise<Stack> {
  const stack = await startStack(t);
  await Promise.all([stack.start('api'), stack.start('worker'), stack.start('dispatcher')]);
  return stack;
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
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(async () => {
    child.kill();
    await once(child, 'exit');
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  await waitFor('the receiver to listen', async () =>
    fetch(`http://localhost:${port}`, { method: 'POST', body: '{}' }).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
  return () => output;
}

describe('README.md', { skip }, () => {
  test('returns the finished first task', { timeout }, async (t) => {
    const stack = await startServices(t);
    const task = await runCurl(stack, getCodeBlock('First task', 'sh'));
    assert.equal(task.status.state, 'TASK_STATE_COMPLETED');
    assert.match(task.artifacts?.[0]?.parts[0]?.text ?? '', /^6 \* 7 = 42/);
  });

  test('prints the three events of the first webhook', { timeout }, async (t) => {
    const stack = await startServices(t);
    const port = await freePort();
    const output = await startReceiver(t, port);
    const command = getCodeBlock('First webhook', 'sh').replace(':9000', `:${port}`);
    const { id } = await runCurl(stack, command);
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
