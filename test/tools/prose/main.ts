/**
 * `npm run check:prose`: reports stilted phrases in comments, test titles, messages and pages. With paths after `--` it
 * checks those alone. Exits with 1 if it found any.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { checkProse } from './check.ts';

const root = path.join(import.meta.dirname, '../../..');

/** Generated files, and files whose subject is the phrases themselves. */
const skipped = /^(?:package-lock\.json|docs\/bench\/figures\.md|test\/tools\/prose\/|test\/unit\/prose)/;

const listed = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', ...process.argv.slice(2)],
  { cwd: root, encoding: 'utf8' },
);
const files = listed.split('\0').filter((file) => /\.(?:ts|md|ya?ml|sh)$/.test(file) && !skipped.test(file));

let count = 0;
for (const file of files) {
  const full = path.join(root, file);
  if (!existsSync(full)) continue;
  for (const { line, name, phrase, advice } of checkProse(file, readFileSync(full, 'utf8'))) {
    console.log(`${file}:${line}  "${phrase}"  ${advice} [${name}]`);
    count += 1;
  }
}
if (count > 0) {
  console.error(
    `\n${count} stilted phrases. If one is right where it is, add "prose-ok: reason" on the line before.`,
  );
  process.exitCode = 1;
}
