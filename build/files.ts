/** The files of the package that are not compiled: the scripts of a deployment, the documentation and the skill. */
import { copyFileSync, cpSync, existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { removeLinks } from './links.ts';
import { createFullText, createIndex, readSections } from './llms.ts';

/** Files and folders of `deploy/`. */
export const deployment = [
  'admin.sh',
  'deploy.sh',
  'release.sh',
  'register.sh',
  'remove.sh',
  'rollout.sh',
  'smoke.sh',
  'lib',
  'settings.sh',
  'steps',
  'manifests',
  'monitoring',
  'terraform',
  'builds',
];

/** @param summary one sentence about the package, for `llms.txt` */
export function copyFiles(root: string, dist: string, summary: string): void {
  for (const name of deployment)
    cpSync(path.join(root, 'deploy', name), path.join(dist, 'deploy', name), { recursive: true });
  // Pictures are left out: they are larger than all text.
  cpSync(path.join(root, 'docs'), path.join(dist, 'docs'), {
    recursive: true,
    filter: (file) => path.basename(file) !== 'images',
  });
  cpSync(path.join(root, 'skills'), path.join(dist, 'skills'), { recursive: true });
  for (const file of ['README.md', 'CHANGELOG.md', 'LICENSE', 'cloudbuild.yaml', 'agent.yaml'])
    copyFileSync(path.join(root, file), path.join(dist, file));
  finishDocs(dist, summary);
}

function finishDocs(dist: string, summary: string): void {
  const isShipped = (file: string): boolean => existsSync(path.join(dist, file));
  const read = (file: string): string | undefined =>
    isShipped(file) ? readFileSync(path.join(dist, file), 'utf8') : undefined;
  for (const page of globSync('{*.md,docs/**/*.md,deploy/**/*.md}', { cwd: dist }))
    writeFileSync(path.join(dist, page), removeLinks(page, read(page) ?? '', isShipped));
  const sections = readSections(read);
  writeFileSync(path.join(dist, 'llms.txt'), createIndex(summary, sections));
  writeFileSync(path.join(dist, 'llms-full.txt'), createFullText(summary, sections, read));
}
