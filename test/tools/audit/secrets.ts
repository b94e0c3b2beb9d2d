/** Texts that look like secrets in the files of the repository, found by the rules that secretlint recommends. */
import { globSync, readFileSync, type Dirent } from 'node:fs';
import path from 'node:path';
import type { lintSource } from '@secretlint/core';
import type { creator } from '@secretlint/secretlint-rule-preset-recommend';
import { errorMessage } from '#shared/runtime/log.ts';
import { allowed, type Allowed } from './allowed.ts';
import { projectDir, unavailable } from './project.ts';

interface Secretlint {
  lintSource: typeof lintSource;
  creator: typeof creator;
}

export interface SecretsOptions {
  dir?: string;
  allow?: readonly Allowed[];
  load?: () => Promise<Secretlint>;
}

/** Not of the repository, or built from it. */
const ignored = new Set(['node_modules', '.git', '.longhaul', 'report', 'dist', 'static']);
const preset = '@secretlint/secretlint-rule-preset-recommend';

/**
 * Prints the place of each one and not the text itself.
 *
 * @returns 1 if there is one, or an entry of the list that allows nothing; `unavailable` if secretlint is not installed
 */
export async function findSecrets({
  dir = projectDir,
  allow = allowed,
  load = loadSecretlint,
}: SecretsOptions = {}): Promise<number> {
  const secretlint = await load().catch((error: unknown) => errorMessage(error));
  if (typeof secretlint === 'string') {
    console.error(
      `The files were not searched for secrets, because secretlint is missing: run npm ci. ${secretlint}`,
    );
    return unavailable;
  }
  const unused = new Set(allow);
  const files = listFiles(dir);
  let found = 0;
  for (const file of files) {
    for (const { line, kind } of await searchFile(secretlint, dir, file)) {
      const entry = allow.find((each) => each.file === file && each.kind === kind);
      if (entry !== undefined) {
        unused.delete(entry);
        continue;
      }
      found += 1;
      console.log(`${file}:${line}: ${kind}`);
    }
  }
  for (const { file, kind } of unused) console.log(`${file} has no ${kind}: remove it from allowed.ts`);
  console.log(`${files.length} files searched, ${found} texts that look like secrets`);
  return found + unused.size > 0 ? 1 : 0;
}

async function loadSecretlint(): Promise<Secretlint> {
  const [core, rules] = await Promise.all([
    import('@secretlint/core'),
    import(preset) as Promise<Secretlint>,
  ]);
  return { lintSource: core.lintSource, creator: rules.creator };
}

function listFiles(dir: string): string[] {
  const options = {
    cwd: dir,
    withFileTypes: true,
    exclude: ({ name }: Dirent) => ignored.has(name),
  } as const;
  // An asterisk does not match names that start with a dot.
  const entries = globSync(['**/*', '**/.*', '.*/**/*'], options);
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(dir, path.join(entry.parentPath, entry.name)));
  return [...new Set(files)].toSorted();
}

async function searchFile(
  secretlint: Secretlint,
  dir: string,
  file: string,
): Promise<{ line: number; kind: string }[]> {
  const content = readFileSync(path.join(dir, file), 'utf8');
  // Binary files.
  if (content.includes('\0')) return [];
  const { messages } = await secretlint.lintSource({
    source: { filePath: path.join(dir, file), content, ext: path.extname(file), contentType: 'text' },
    options: { config: { rules: [{ id: preset, rule: secretlint.creator }] } },
  });
  return messages.map(({ loc, messageId }) => ({ line: loc.start.line, kind: messageId }));
}
