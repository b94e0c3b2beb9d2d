/** Rendered manifests and a fake Google Cloud project, for tests of the deployment. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import type { Cleanup } from '../cleanup.ts';
import { createTempDir } from '../temp-dir.ts';
import { dryRun, runScript, type ScriptResult } from './scripts.ts';

export const projectDir = fileURLToPath(new URL('../../../', import.meta.url));

/** The folder of an agent, with a Dockerfile. */
export const agentDir = path.join(projectDir, 'test/support/deploy/agent');

/** Settings that create the resources which the defaults leave out. */
export const otherMode = { WORKER_MODE: 'push', GRPC_MAX: '2' };

export const manifestNames = ['api', 'grpc', 'dispatcher', 'worker', 'worker-push', 'migrate'] as const;
export type ManifestName = (typeof manifestNames)[number];

export interface Manifest {
  name: ManifestName;
  text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- YAML of Cloud Run's schema, which gcloud checks
  content: any;
}

/** Renders the manifests of both worker modes. */
export async function renderManifests(
  t: Cleanup,
  settings: Record<string, string> = {},
): Promise<Manifest[]> {
  const dir = createTempDir(t);
  await dryRun('deploy.sh', { RENDERED_DIR: dir, ...settings });
  await dryRun('deploy.sh', { RENDERED_DIR: dir, ...otherMode, ...settings });
  return manifestNames.map((name) => {
    const text = readFileSync(path.join(dir, `${name}.yaml`), 'utf8');
    return { name, text, content: parse(text) };
  });
}

export interface FakeProject {
  dir: string;
  /** For runs that may fail. */
  environment: Record<string, string>;
  /** Runs a script against the project and asserts that it succeeds. */
  run: (script: string, args?: string[], env?: Record<string, string>) => Promise<ScriptResult>;
  /** Returns the commands that have changed something since the last call. */
  takeChanges: () => string[];
}

/**
 * A project in a directory, managed by fake-gcloud.sh.
 *
 * @param original a project whose resources it has at the start
 */
export function createFakeProject(t: Cleanup, original?: FakeProject): FakeProject {
  const dir = createTempDir(t);
  if (original !== undefined) {
    for (const name of ['resources', 'policy']) {
      cpSync(path.join(original.dir, name), path.join(dir, name), { recursive: true });
    }
  }
  mkdirSync(path.join(dir, 'bin'));
  for (const name of ['gcloud', 'curl']) {
    symlinkSync(path.join(projectDir, `test/support/deploy/fake-${name}.sh`), path.join(dir, 'bin', name));
  }
  const changesFile = path.join(dir, 'changes');
  const environment = { PATH: `${path.join(dir, 'bin')}:${process.env['PATH']}`, FAKE_PROJECT: dir };
  return {
    dir,
    environment,
    run: async (script, args = [], env = {}) => {
      const result = await runScript(script, args, {
        ...environment,
        API_INVOKERS: 'user:you@example.com',
        ALERT_EMAIL: 'you@example.com',
        ...env,
      });
      assert.equal(result.code, 0, result.errors);
      return result;
    },
    takeChanges: () => {
      const lines = existsSync(changesFile) ? readFileSync(changesFile, 'utf8').trim().split('\n') : [];
      rmSync(changesFile, { force: true });
      return lines;
    },
  };
}

/** Returns the distinct commands that changed something, without the names of resources. */
export function takeVerbs(fake: FakeProject): string[] {
  return [...new Set(fake.takeChanges().map((line) => line.split(' ').slice(0, 3).join(' ')))];
}
