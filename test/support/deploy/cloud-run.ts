/** A fake Cloud Run in a directory, managed by fake-cloud-run.sh, for tests of rollouts. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Cleanup } from '../cleanup.ts';
import { createTempDir } from '../temp-dir.ts';
import { projectDir } from './project.ts';
import { runScript } from './scripts.ts';

const digest = `sha256:${'1'.padStart(64, '0')}`;
const images = { API_IMAGE: `registry/api@${digest}`, WORKER_IMAGE: `registry/worker@${digest}` };

export const before = ['1:100', '1:100', '1:100'];
export const canary = ['2:50 1:50', '1:90 2:10', '1:90 2:10'];
export const after = ['2:100', '2:100', '2:100'];

/** A deployment whose targets serve their first revision. */
export function createCloudRun(
  t: Cleanup,
  { instances = 2, worker = 'pool' }: { instances?: number; worker?: 'pool' | 'service' } = {},
) {
  const dir = createTempDir(t);
  mkdirSync(path.join(dir, 'bin'));
  symlinkSync(path.join(projectDir, 'test/support/deploy/fake-cloud-run.sh'), path.join(dir, 'bin/gcloud'));
  const names = ['longhaul-worker', 'longhaul-dispatcher', 'longhaul-api'];
  for (const name of names) mkdirSync(path.join(dir, name));
  /**
   * Sets the number of the newest revision, and the shares of all targets, such as `1:90 2:10`. Revisions after the first were deployed
   * for release 2.0, in place of the first.
   */
  const set = (latest: string, shares: readonly string[]): void => {
    for (const [index, name] of names.entries()) {
      const labels = latest === '1' ? '' : `longhaul-release=${toLabel('2.0')},longhaul-before=${name}-1`;
      const lines = shares[index]!.replaceAll(' ', '\n').replaceAll(/(\d+):(\d+)/g, `${name}-$1 $2`);
      for (const [file, content] of Object.entries({ latest, tag: latest, shares: lines, labels }))
        writeFileSync(path.join(dir, name, file), content === '' ? '' : `${content}\n`);
    }
  };
  set('1', before);
  if (worker === 'pool') writeFileSync(path.join(dir, 'longhaul-worker/instances'), String(instances));
  const environment = {
    PATH: `${path.join(dir, 'bin')}:${process.env['PATH']}`,
    FAKE_PROJECT: dir,
    CANARY_PERCENT: '10',
    PROJECT_ID: 'my-project',
    SETTINGS_FILE: '',
    ...images,
  };
  const changes = path.join(dir, 'changes');
  return {
    dir,
    environment,
    run: (step: string, env: Record<string, string> = {}, release = '2.0') =>
      runScript('rollout.sh', [step, release], { ...environment, ...env }),
    /** In the form of `set`. */
    shares: (): string[] =>
      names.map((name) =>
        readFileSync(path.join(dir, name, 'shares'), 'utf8')
          .trim()
          .replaceAll(`${name}-`, '')
          .replaceAll(/(\d+) (\d+)/g, '$1:$2')
          .replaceAll('\n', ' '),
      ),
    set,
    hasChanged: (pattern: RegExp): boolean =>
      existsSync(changes) && pattern.test(readFileSync(changes, 'utf8')),
    takeChanges: (): string[] => {
      const lines = existsSync(changes) ? readFileSync(changes, 'utf8').trim().split('\n') : [];
      rmSync(changes, { force: true });
      return lines;
    },
  };
}

/** The label of a release, as release_label of deploy/lib/revisions.sh forms it. */
function toLabel(release: string): string {
  const hash = createHash('sha256').update(release).digest('hex').slice(0, 8);
  return `r-${release.toLowerCase().replaceAll('.', '_')}-${hash}`;
}
