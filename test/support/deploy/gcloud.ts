/** Checks commands and files with the parsers of the installed gcloud, if there is one. */
import assert from 'node:assert/strict';
import { existsSync, realpathSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { projectDir } from './project.ts';
import { run } from './scripts.ts';

export interface GcloudInput {
  commands: string[][];
  manifests: string[];
  builds: string[];
  dashboards: string[];
  alerts: string[];
}

/** Returns the SDK directory of the `gcloud` on the path; undefined if it is not installed. */
export function findGcloud(): string | undefined {
  for (const dir of (process.env['PATH'] ?? '').split(':')) {
    const file = path.join(dir, 'gcloud');
    if (!existsSync(file)) continue;
    for (const root of [path.join(realpathSync(file), '../../..'), '/usr/lib/google-cloud-sdk']) {
      if (existsSync(path.join(root, 'lib/googlecloudsdk'))) return root;
    }
  }
  return undefined;
}

export interface GcloudResult {
  /** Items, each with the reason. */
  rejected: [item: string, reason: string][];
  /** How many commands were parsed as beta, because this gcloud has them only so. */
  beta: number;
  /** Commands that this gcloud does not have. */
  unchecked: string[];
}

export async function checkWithGcloud(sdkDir: string, input: GcloudInput): Promise<GcloudResult> {
  const python = path.join(sdkDir, 'platform/bundledpythonunix/bin/python3');
  const script = path.join(projectDir, 'test/support/deploy/gcloud-parser.py');
  const ran = await run(
    existsSync(python) ? python : 'python3',
    [script, path.join(sdkDir, 'lib')],
    { env: { PATH: process.env['PATH'], HOME: os.tmpdir(), CLOUDSDK_CORE_DISABLE_PROMPTS: '1' } },
    JSON.stringify(input),
  );
  assert.equal(ran.code, 0, ran.errors);
  return JSON.parse(ran.output) as GcloudResult;
}
