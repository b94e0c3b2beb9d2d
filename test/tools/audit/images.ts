/**
 * Images without a digest, which their registry can replace. They are reported and not refused: each build pins them when it is
 * submitted (deploy/lib/common.sh).
 */
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { projectDir } from './project.ts';

export function reportImages(): number {
  const files = globSync(['Dockerfile.*', 'cloudbuild.yaml', 'deploy/builds/*.yaml'], { cwd: projectDir });
  const named = files.flatMap((file) => {
    const text = readFileSync(path.join(projectDir, file), 'utf8');
    return [...text.matchAll(/^(?:FROM|[ -]+name:) (?!base\b)(\S+)/gm)].map(([, image = '']) => image);
  });
  const images = new Set(named);
  const unpinned = [...images].filter((image) => !image.includes('@sha256:'));
  const list = unpinned.length === 0 ? '' : ` (deploy/pin-images.sh pins them): ${unpinned.join(', ')}`;
  console.log(`${unpinned.length} of ${images.size} images are not pinned by digest${list}`);
  return 0;
}
