/**
 * `npm run terraform:arguments -- GIT_DIR`: holds every argument of the module, and every constant if its page lists the possible
 * ones, against the documentation of the provider, in a clone of hashicorp/terraform-provider-google. Writes
 * deploy/terraform/arguments.txt. Run it after a change of the module.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { listArguments, listConstants, readResources, tableFile } from './arguments.ts';

const [gitDir] = process.argv.slice(2);
if (gitDir === undefined) {
  process.stderr.write('expected the git directory of hashicorp/terraform-provider-google\n');
  process.exit(64);
}
const git = (...args: string[]): string =>
  execFileSync('git', ['--git-dir', gitDir, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });

const folders: Record<string, string> = { resource: 'r', data: 'd', ephemeral: 'ephemeral-resources' };

/** Returns the page of a resource: those of IAM describe several resources. */
function findPage(kind: string, type: string): { page: string; text: string } {
  const name = type.replace(/^google_/, '').replace(/_iam_(member|binding)$/, '_iam');
  for (const file of [name, `google_${name}`]) {
    const page = `website/docs/${folders[kind]}/${file}.html.markdown`;
    try {
      return { page, text: git('show', `HEAD:${page}`) };
    } catch {
      continue;
    }
  }
  throw new Error(`${type} has no page`);
}

/** Returns what a page says about an argument, such as `template.containers.name`, in the section of its block. */
function findEntry(text: string, argument: string): string | undefined {
  const [, reference = ''] =
    /## Argument Reference\n([\s\S]*?)\n## (?:Attributes?|Timeouts|Import)/.exec(text) ?? [];
  const names = argument.split('.');
  const name = names.pop()!;
  const sections = reference.split(/<a name="nested_/);
  const findIn = (section: string): string | undefined =>
    section.split(/^(?=\s*[*-] `[\w/]+`)/m).find((entry) => {
      const [, found = ''] = /^\s*[*-] `([\w/]+)`/.exec(entry) ?? [];
      return found.split('/').includes(name);
    });
  if (names.length === 0) return findIn(sections[0] ?? '');
  const anchors = [names.join('_'), names.at(-1)!].map((anchor) => `${anchor}">`);
  return sections
    .slice(1)
    .filter((section) => anchors.some((anchor) => section.startsWith(anchor)))
    .map(findIn)
    .find((entry) => entry !== undefined);
}

const unknown: string[] = [];
const rows = listArguments(readResources()).map((line) => {
  const [kind = '', type = '', argument = ''] = line.split(' ');
  const { page, text } = findPage(kind, type);
  if (findEntry(text, argument) === undefined) unknown.push(`${line} (${page})`);
  return `${kind} ${type} ${argument} ${page}`;
});
for (const { kind, type, argument, value } of listConstants(readResources())) {
  const { page, text } = findPage(kind, type);
  const [, possible] =
    /Possible values are: ((?:`\w+`(?:, | and |\.)?)+)/.exec(findEntry(text, argument) ?? '') ?? [];
  if (possible !== undefined && !possible.includes(`\`${value}\``))
    unknown.push(`${kind} ${type} ${argument} ${value} (${page}: ${possible})`);
}
if (unknown.length > 0) {
  process.stderr.write(`not in the documentation:\n${unknown.join('\n')}\n`);
  process.exit(1);
}
const [version = ''] = /^## (\d+\.\d+\.\d+) \(\w+ /m.exec(git('show', 'HEAD:CHANGELOG.md'))?.slice(1) ?? [];
const commit = git('log', '-1', '--format=%H of %cs').trim();
const heading = `# Documentation of hashicorp/google after ${version}, commit ${commit}. Written by npm run terraform:arguments.`;
writeFileSync(tableFile, `${heading}\n# kind, type, argument, page\n${rows.join('\n')}\n`);
process.stdout.write(`${rows.length} arguments\n`);
