/**
 * `npm run upgrade -- [ref]` runs the tests of an earlier release on the schema of this tree. Each migration
 * must work with the code before it, which keeps serving while the migration runs and afterwards. Default:
 * the newest release tag before this commit.
 *
 * It checks out the earlier tree in a temporary directory, with its own dependencies. That tree's tests use a
 * server whose template has the migrations of this tree.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { allMigrations } from '#shared/db/schema/migrate.ts';
import { startTestServer } from '../../support/database/test-server.ts';
import { portVariable, serverVariable } from '../../support/database/variables.ts';

/** The core of the system: tasks from end to end, conversations, the gate and webhooks. */
const core = [
  'test/scenarios/tasks.test.ts',
  'test/scenarios/scripted.test.ts',
  'test/integration/db/gates/gate.test.ts',
  'test/integration/webhooks/deliver.test.ts',
];

const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8' }).trim();

function newestRelease(): string | undefined {
  const tags = git('tag', '--merged', 'HEAD~1', '--sort=-version:refname', 'v*').split('\n');
  return tags[0] === '' ? undefined : tags[0];
}

const ref = process.argv[2] ?? newestRelease();
if (ref === undefined) {
  process.stdout.write('No release precedes this commit: nothing to check.\n');
  process.exit(0);
}
const tree = path.join(mkdtempSync(path.join(os.tmpdir(), 'longhaul-upgrade-')), 'tree');
// Contractions run only once the earlier code has ended.
const server = await startTestServer({ ...allMigrations, contractions: {} });
try {
  git('worktree', 'add', '--detach', tree, ref);
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: tree, stdio: 'inherit' });
  const files = core.filter((file) => existsSync(path.join(tree, file)));
  const { status } = spawnSync(process.execPath, ['--test', '--test-timeout=180000', ...files], {
    cwd: tree,
    stdio: 'inherit',
    env: { ...process.env, [serverVariable]: server.templateUrl, [portVariable]: String(server.port) },
  });
  process.exitCode = files.length > 0 ? (status ?? 1) : 1;
} finally {
  await server.stop();
  git('worktree', 'remove', '--force', tree);
  rmSync(path.dirname(tree), { recursive: true, force: true });
}
