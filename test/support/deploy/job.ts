/** A fake job of the migration in a directory, managed by fake-job.sh, for tests of deploy/admin.sh. */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Cleanup } from '../cleanup.ts';
import { createTempDir } from '../temp-dir.ts';
import { runScript } from './scripts.ts';

const fake = fileURLToPath(new URL('fake-job.sh', import.meta.url));
const execution = fileURLToPath(new URL('fake-job.ts', import.meta.url));

interface JobOptions {
  entry?: string;
  /** Variables of the api. */
  api?: Record<string, string>;
  /** More variables of the job. */
  job?: Record<string, string>;
  env?: Record<string, string>;
}

/** A deployment whose job runs commands next to the database of `url`. */
export function createJob(
  t: Cleanup,
  url: string,
  { entry = 'migrate', api = {}, job = {}, env = {} }: JobOptions = {},
) {
  const dir = createTempDir(t);
  mkdirSync(path.join(dir, 'bin'));
  symlinkSync(fake, path.join(dir, 'bin/gcloud'));
  writeFileSync(path.join(dir, 'api'), JSON.stringify(describeApi(api)));
  const environment = {
    PATH: `${path.join(dir, 'bin')}:${process.env['PATH']}`,
    FAKE_PROJECT: dir,
    FAKE_NODE: process.execPath,
    FAKE_JOB: execution,
    FAKE_ENTRY: entry,
    FAKE_JOB_ENV: JSON.stringify({ DATABASE_URL: url, ...job }),
    ADMIN_POLL_SECONDS: '0',
    ADMIN_LOG_SECONDS: '0',
    ...env,
  };
  return {
    dir,
    run: (...args: string[]) => runScript('admin.sh', args, environment),
    readVariables: () => JSON.parse(readFileSync(path.join(dir, 'variables'), 'utf8')) as object,
  };
}

/** Describes an api with these variables, as gcloud does. */
function describeApi(api: Record<string, string>): object {
  const env = Object.entries(api).map(([name, value]) => ({ name, value }));
  const hidden = { name: 'ALLOY_DB_PASS', valueFrom: { secretKeyRef: { name: 'x', key: '1' } } };
  const containers = [{ name: 'alloydb-auth-proxy' }, { name: 'service', env: [...env, hidden] }];
  return { spec: { template: { spec: { containers } } } };
}
