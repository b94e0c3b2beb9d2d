/** Writes the console to a folder, as packages and images contain it: `node build/console.ts console/static`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { buildConsole } from '../console/build.ts';

export async function writeConsole(folder: string): Promise<void> {
  const { html, assets } = await buildConsole();
  mkdirSync(path.join(folder, 'assets'), { recursive: true });
  writeFileSync(path.join(folder, 'index.html'), html);
  for (const [name, content] of assets) writeFileSync(path.join(folder, 'assets', name), content);
}

if (import.meta.main) await writeConsole(process.argv[2] ?? 'console/static');
