/**
 * Builds the console into memory: scripts by rolldown, styles joined in the order of their names, and the page with the
 * hashed names of both. `npm run build` writes the result to disk (build/console.ts); in the repository the api serves
 * it, and builds again when a source has changed since.
 */
import { createHash } from 'node:crypto';
import { globSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { build } from 'rolldown';

interface BuiltConsole {
  html: string;
  assets: Map<string, Uint8Array>;
}

const folder = import.meta.dirname;
const plotStyles = '../node_modules/uplot/dist/uPlot.min.css';

let last: { changedAt: number; built: Promise<BuiltConsole> } | undefined;

export function buildConsole(): Promise<BuiltConsole> {
  const changedAt = findLastChange();
  if (last?.changedAt !== changedAt) last = { changedAt, built: buildOnce() };
  return last.built;
}

function findLastChange(): number {
  const sources = globSync('**/*.{ts,tsx,css,html,svg}', { cwd: folder });
  return Math.max(...sources.map((file) => statSync(path.join(folder, file)).mtimeMs));
}

async function buildOnce(): Promise<BuiltConsole> {
  const { output } = await build({
    cwd: folder,
    input: 'main.tsx',
    platform: 'browser',
    write: false,
    logLevel: 'warn',
    tsconfig: false,
    transform: { target: 'es2023', jsx: { runtime: 'automatic', importSource: 'preact' } },
    output: {
      format: 'esm',
      minify: true,
      entryFileNames: '[name]-[hash].js',
      chunkFileNames: '[name]-[hash].js',
    },
  });
  const assets = new Map<string, Uint8Array>();
  for (const file of output) {
    if (file.type === 'chunk') assets.set(file.fileName, Buffer.from(file.code));
  }
  const script = output.find((file) => file.type === 'chunk' && file.isEntry)?.fileName ?? '';
  const addFile = (name: string, extension: string, content: string): string => {
    const hash = createHash('sha256').update(content).digest('base64url').slice(0, 8);
    assets.set(`${name}-${hash}.${extension}`, Buffer.from(content));
    return `${name}-${hash}.${extension}`;
  };
  const style = addFile('style', 'css', readStyles());
  const icon = addFile('icon', 'svg', readSource('icon.svg'));
  const html = readSource('index.html')
    .replace('{{script}}', script)
    .replace('{{style}}', style)
    .replace('{{icon}}', icon);
  return { html, assets };
}

function readStyles(): string {
  const names = globSync('styles/*.css', { cwd: folder }).sort();
  return [plotStyles, ...names].map(readSource).join('\n').replaceAll(/\n\s+/g, '\n');
}

function readSource(name: string): string {
  return readFileSync(path.join(folder, name), 'utf8');
}
