/**
 * A fake gcloud with the job of the migration, for deploy/admin.sh: an execution runs the real program, and what it prints becomes
 * entries of the log as Cloud Run makes them. $FAKE_PROJECT is the directory of the log. Run by the scripts, not imported.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { environment } from '#shared/runtime/config/environment.ts';

const dir = environment['FAKE_PROJECT'] ?? '';
const entry = environment['FAKE_ENTRY'] ?? '';
const logFile = path.join(dir, 'log');
const execution = 'longhaul-migrate-x7k2p';
const words = process.argv.slice(2);
appendFileSync(path.join(dir, 'calls'), `${words.map((word) => `${word}\x1f`).join('')}\x1e`);
while (words[0]?.startsWith('--')) words.shift();
const line = words.join(' ');

if (line.startsWith('run jobs describe longhaul-migrate ')) console.log(entry);
else if (line.startsWith('run services describe longhaul-api ')) console.log(describeApi());
else if (line.startsWith('run jobs execute longhaul-migrate ')) execute();
else if (line.startsWith(`run jobs executions describe ${execution} `)) console.log('2026-11-30T12:00:00Z');
else if (line.startsWith('logging read ') && line.includes(`"${execution}"`)) console.log(readLog());
else throw new Error(`fake gcloud: unknown command: ${line}`);

function describeApi(): string {
  const { FAKE_API_ENV = '{}' } = environment;
  const env = Object.entries(JSON.parse(FAKE_API_ENV) as Record<string, string>).map(([name, value]) => ({
    name,
    value,
  }));
  const hidden = { name: 'ALLOY_DB_PASS', valueFrom: { secretKeyRef: { name: 'x', key: '1' } } };
  const containers = [{ name: 'alloydb-auth-proxy' }, { name: 'service', env: [...env, hidden] }];
  return JSON.stringify({ spec: { template: { spec: { containers } } } });
}

/** Splits the list of a flag as gcloud does. */
function readList(flag: string): string[] {
  const value = words.find((word) => word.startsWith(`${flag}=`))?.slice(flag.length + 1);
  if (value === undefined) return [];
  const [, separator = ',', rest = ''] = /^\^([^^]+)\^([^]*)$/.exec(value) ?? [undefined, ',', value];
  return rest.split(separator);
}

function execute(): void {
  // The flags of all commands are refused after it.
  const own = words.slice(words.indexOf('--container=service') + 1);
  const others = own.filter((word) => !/^--(args|update-env-vars)=/.test(word));
  if (others.length > 0) throw new Error(`unrecognized arguments: ${others.join(' ')}`);
  const [program = '', ...args] = readList('--args');
  const variables = Object.fromEntries(
    readList('--update-env-vars').map((pair) => [
      pair.slice(0, pair.indexOf('=')),
      pair.slice(pair.indexOf('=') + 1),
    ]),
  );
  writeFileSync(path.join(dir, 'variables'), JSON.stringify(variables));
  const image = entry === 'migrate' ? ['services/cli/main.ts', program] : [program];
  const { FAKE_JOB_ENV = '{}' } = environment;
  const env = {
    PATH: environment['PATH'],
    CLOUD_RUN_JOB: 'longhaul-migrate',
    ...(JSON.parse(FAKE_JOB_ENV) as Record<string, string>),
    ...variables,
  };
  const { stdout, stderr } = spawnSync(process.execPath, [...image, ...args], { encoding: 'utf8', env });
  const entries = [...toEntries(stdout, 'stdout'), ...toEntries(stderr, 'stderr')];
  // In any order, and not all at once.
  writeFileSync(logFile, JSON.stringify(entries.toReversed()));
  console.log(execution);
}

function toEntries(output: string, name: string): object[] {
  return output
    .split('\n')
    .filter((text) => text !== '')
    .map((text) => ({
      logName: `projects/my-project/logs/run.googleapis.com%2F${name}`,
      ...(text.startsWith('{') ? { jsonPayload: JSON.parse(text) as object } : { textPayload: text }),
    }));
}

function readLog(): string {
  const late = path.join(dir, 'late');
  const entries = JSON.parse(readFileSync(logFile, 'utf8')) as unknown[];
  if (environment['FAKE_LOST'] === undefined && existsSync(late)) return JSON.stringify(entries);
  writeFileSync(late, '');
  return JSON.stringify(entries.slice(0, entries.length / 2));
}
