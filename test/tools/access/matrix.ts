/** Who may do what on which resource, read from the commands that deploy/deploy.sh would run in either mode. */
import { dryRun } from '../../support/deploy/scripts.ts';

export interface Grant {
  account: string;
  role: string;
  /** The kind and the name of the resource. */
  resource: string;
}

/** Roles that stand on the whole project, and why no narrower resource would do. */
export const projectWide: Record<string, string> = {
  'roles/alloydb.client': 'AlloyDB has no policy on a cluster or an instance',
  'roles/serviceusage.serviceUsageConsumer': 'is about the use of the project itself',
  'roles/aiplatform.user': 'the models of Google have no policy of their own',
  'roles/telemetry.tracesWriter': 'traces are written to the project',
  'roles/telemetry.metricsWriter': 'metrics are written to the project',
  'roles/run.developer':
    'a worker pool and a job to come have no policy; it gives no right to change who may call',
  'roles/logging.logWriter': 'logs are written to the project',
  'roles/ondemandscanning.admin': 'scans are made in the project',
};

export async function readGrants(): Promise<Grant[]> {
  // What stands only in one of the modes is told as well.
  const runs = [{}, { WORKER_MODE: 'push', GRPC_MAX: '1' }];
  const commands = await Promise.all(runs.map((env) => dryRun('deploy.sh', env)));
  const once = new Map(commands.flat().map((command) => [command.line, command]));
  const grants = [...once.values()].flatMap(({ words }): Grant[] => {
    const verb = words.indexOf('add-iam-policy-binding');
    if (verb === -1) return [];
    const flag = (name: string): string =>
      words.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3) ?? '';
    const kind = words
      .slice(1, verb)
      .at(-1)!
      .replace(/ies$/, 'y')
      .replace(/s$/, '')
      .replace('service-account', 'account');
    const name = shortName(words[verb + 1]!);
    return [
      {
        account: shortName(flag('member')),
        role: flag('role'),
        resource: kind === 'project' ? 'the project' : `${kind} \`${name}\``,
      },
    ];
  });
  return grants.sort((a, b) => compare(`${a.account} ${a.role}`, `${b.account} ${b.role}`));
}

/** The two tables of docs/deploy.md. */
export async function describeAccess(): Promise<string> {
  const rows = new Map<string, string[]>();
  for (const { account, role, resource } of await readGrants()) {
    const key = `| \`${account}\` | \`${role}\` |`;
    rows.set(key, [...(rows.get(key) ?? []), resource]);
  }
  return [
    '| account | role | on |',
    '|---|---|---|',
    ...[...rows].map(([key, resources]) => `${key} ${resources.join(', ')} |`),
    '',
    '| on the whole project | because |',
    '|---|---|',
    ...Object.entries(projectWide).map(([role, reason]) => `| \`${role}\` | ${reason} |`),
  ].join('\n');
}

function shortName(name: string): string {
  return name
    .replace(/^serviceAccount:/, '')
    .replace('gs://my-project', '<project>')
    .replace(/^service-\d+@gcp-sa-(\w+)\..*/, 'service agent of $1')
    .replace(/@my-project\.iam\.gserviceaccount\.com$/, '');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export const startMark = '<!-- access: begins (npm run access writes it) -->';
export const endMark = '<!-- access: ends -->';

/** @throws {Error} where the guide has no place for the tables */
export function withAccess(guide: string, access: string): string {
  const [before, after] = [guide.indexOf(startMark), guide.indexOf(endMark)];
  if (before === -1 || after < before) throw new Error(`docs/deploy.md has no ${startMark} … ${endMark}`);
  return `${guide.slice(0, before + startMark.length)}\n\n${access}\n\n${guide.slice(after)}`;
}
