/**
 * An execution of the job of the migration, for fake-job.sh: runs the real program, and what it prints becomes entries of the log as
 * Cloud Run makes them. $FAKE_PROJECT is the directory of the log. Run by that script, not imported.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { environment } from '#shared/runtime/config/environment.ts';

const dir = environment['FAKE_PROJECT'] ?? '';
const entry = environment['FAKE_ENTRY'] ?? '';
const logFile = path.join(dir, 'log');
const words = process.argv.slice(2);
execute();

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
  writeFileSync(`${logFile}.part`, JSON.stringify(entries.toReversed().slice(0, entries.length / 2)));
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
