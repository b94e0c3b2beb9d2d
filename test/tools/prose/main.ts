/**
 * `npm run check:prose`: reports stilted phrases in comments, test titles, messages and pages. With files or folders after
 * `--` it checks those alone. Exits with 1 if it found any.
 */
import { globSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { checkProse } from './check.ts';

const root = path.join(import.meta.dirname, '../../..');

/** Generated files, and files whose subject is the phrases themselves. */
const skipped = /^(?:docs\/bench\/figures\.md|test\/tools\/prose\/|test\/unit\/repository\/prose)/;

function listFiles(selected: string): string[] {
  const full = path.join(root, selected);
  if (!statSync(full).isDirectory()) return [full];
  return globSync(['**/*.{ts,tsx,md,yaml,yml,sh}', '.github/**/*.{md,yaml,yml}'], {
    cwd: full,
    exclude: (name) => ['node_modules', '.git', '.longhaul', 'report', 'dist'].includes(path.basename(name)),
  }).map((file) => path.join(full, file));
}

const selected = process.argv.slice(2);
const files = (selected.length === 0 ? ['.'] : selected)
  .flatMap(listFiles)
  .map((file) => path.relative(root, file))
  .filter((file) => !skipped.test(file))
  .sort();

let count = 0;
for (const file of files) {
  for (const { line, name, phrase, advice } of checkProse(
    file,
    readFileSync(path.join(root, file), 'utf8'),
  )) {
    console.log(`${file}:${line}  "${phrase}"  ${advice} [${name}]`);
    count += 1;
  }
}
if (count > 0) {
  console.error(
    `\n${count} stilted phrases. If a phrase is correct in its place, add "prose-ok: reason" on the line before.`,
  );
  process.exitCode = 1;
}
