/**
 * Builds as files what the Dockerfile of `longhaul init` builds: the project with one dependency of its own, its production
 * dependencies, and the services as the unprivileged user of the image, on the infrastructure of a test stack.
 */
import assert from 'node:assert/strict';
import { copyFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { createCleanup, type Cleanup } from '../../support/cleanup.ts';
import { runNode, type RunningProcess } from '../../support/processes/processes.ts';
import { isCompleted, startStack } from '../../support/stack.ts';
import { createShell, type Shell } from './shell.ts';

const agent = `import { defineAgent } from 'longhaul/agent';
import { crc32 } from '@node-rs/crc32';
import ms from 'ms';

export default defineAgent({
  definition: { name: 'My image', description: 'Writes a time.' },
  async run(turn) {
    const time = await turn.step('format', async () => ms(90_000, { long: true }) + ', ' + crc32('go'));
    return { state: 'TASK_STATE_COMPLETED', message: time };
  },
});
`;

export async function checkImage(
  project: Shell,
  { root, tarball, print }: { root: string; tarball: string; print: (line: string) => void },
): Promise<void> {
  const image = path.join(root, 'image');
  const dockerfile = readFileSync(path.join(project.cwd, 'Dockerfile'), 'utf8');
  const install = /^RUN (npm ci .*)$/m.exec(dockerfile)?.[1] ?? '';
  const entrypoint = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(dockerfile)?.[1] ?? '[]') as string[];
  const user = Number(/^USER (\d+)/m.exec(dockerfile)?.[1]);

  copyFileSync(tarball, path.join(project.cwd, 'longhaul.tgz'));
  await project.run(
    'npm install of a dependency',
    // The second has its binaries in optional dependencies.
    'npm install ./longhaul.tgz ms@2.1.3 @node-rs/crc32@1.10.8 && npm install -D @types/ms@2.1.0',
  );
  writeFileSync(path.join(project.cwd, 'agent.ts'), agent);
  const ignored = readFileSync(path.join(project.cwd, '.dockerignore'), 'utf8').trim().split('\n');
  cpSync(project.cwd, image, {
    recursive: true,
    filter: (file) => !ignored.includes(path.relative(project.cwd, file)),
  });
  const shell = createShell({
    cwd: image,
    bin: [path.dirname(process.execPath)],
    cache: path.join(root, 'npm-cache'),
    user: undefined,
    report: (name, s) => print(`${s.toFixed(1).padStart(7)} s  image: ${name}`),
  });
  await shell.run('npm ci of the Dockerfile', install);

  const cleanup = createCleanup();
  try {
    await runServices(cleanup, { image, entrypoint, user });
    print('          an image of the scaffold completes a task with its dependency');
  } finally {
    await cleanup.run();
  }
}

async function runServices(
  cleanup: Cleanup,
  { image, entrypoint, user }: { image: string; entrypoint: string[]; user: number },
): Promise<void> {
  const stack = await startStack(cleanup);
  const run = (command: string, port: string): RunningProcess =>
    runNode(cleanup, [path.join(image, entrypoint.at(-1) ?? ''), command], {
      cwd: image,
      env: { ...stack.env, NODE_ENV: 'production', PORT: port, HOME: '/nonexistent' },
      ...(process.getuid?.() === 0 && { uid: user, gid: user }),
    });
  const migrated = run('migrate', '0');
  assert.equal((await migrated.exited).code, 0, migrated.output());
  const services = [run('api', new URL(stack.apiUrl).port), run('worker', '0')];
  await Promise.all(services.map((service) => service.line(/"message":"ready"/)));
  const card = (await (await fetch(`${stack.apiUrl}/.well-known/agent-card.json`)).json()) as {
    name: string;
  };
  assert.equal(card.name, 'My image');
  const { id } = await stack.submit('go');
  const task = await stack.until(id, isCompleted);
  assert.deepEqual(task.status.message?.parts, [{ text: `2 minutes, ${crc32('go')}` }]);
  for (const { child } of services) child.kill('SIGTERM');
  for (const { exited, output } of services)
    assert.deepEqual(await exited, { code: 0, signal: null }, output());
}
