/** From an empty folder to the tests of an agent: `npm install`, `longhaul init`, `npm test`. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Shell } from './shell.ts';

export async function checkScaffold(shell: Shell, tarball: string, language: string): Promise<void> {
  // npm asks about install scripts here: only init writes which of them may run.
  await shell.run('npm install of the tarball', `npm install ${tarball}`);
  await shell.run('longhaul init', `npx longhaul init --agent ${language} --name "My agent"`);
  const again = await shell.run('npm install', 'npm install');
  assert.doesNotMatch(again, /warn/i, again);
  const tested = await shell.run('npm test, with a crash after each step', 'npm test');
  assert.match(tested, /pass [23]\b/);
  const readme = readFileSync(path.join(shell.cwd, 'README.md'), 'utf8');
  assert.match(readme, /npx longhaul dev/);
  for (const guide of ['AGENTS.md', '.claude/skills/longhaul/SKILL.md', '.agents/skills/longhaul/SKILL.md']) {
    const named =
      readFileSync(path.join(shell.cwd, guide), 'utf8').match(/node_modules\/longhaul\/[\w./-]*\w/g) ?? [];
    assert.ok(named.length > 0, guide);
    for (const file of named) assert.ok(existsSync(path.join(shell.cwd, file)), `${guide} names ${file}`);
  }
}
