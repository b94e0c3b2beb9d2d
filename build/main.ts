/**
 * `npm run build` compiles the package that authors install into `dist`, because Node does not strip types in
 * `node_modules`: a module for each file that is imported or started, and chunks that they share. Only `sdk` has
 * declarations. The repository itself runs TypeScript directly.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'rolldown';
import { writeConsole } from './console.ts';
import { copyFiles } from './files.ts';
import { createManifest, type Manifest } from './manifest.ts';
import { rewriteSpecifiers } from './specifiers.ts';

const root = path.resolve(import.meta.dirname, '..');
const dist = path.join(root, 'dist');
const source = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Manifest;
const manifest = createManifest(source);

rmSync(dist, { recursive: true, force: true });
await bundle();
await writeConsole(path.join(dist, 'console/static'));
writeDeclarations();
writeFileSync(path.join(dist, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
copyFiles(root, dist, manifest.description);
for (const file of Object.values(manifest.bin)) chmodSync(path.join(dist, file), 0o755);

async function bundle(): Promise<void> {
  const started = [
    'services/**/main.ts',
    'services/worker/standby.ts',
    'services/local/*/die-with-parent.ts',
  ];
  const exported = Object.values(source.exports).filter((file) => file.endsWith('.ts'));
  const entries = [...exported.map((file) => path.normalize(file)), ...globSync(started, { cwd: root })];
  const { dependencies, optionalDependencies, peerDependencies } = manifest;
  const packages = Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies });
  await build({
    cwd: root,
    input: Object.fromEntries(entries.map((file) => [file.replace(/\.ts$/, ''), file])),
    platform: 'node',
    external: (id) => packages.some((name) => id === name || id.startsWith(`${name}/`)),
    transform: { target: 'node22.19' },
    logLevel: 'warn',
    output: { dir: dist, format: 'esm', sourcemap: true, chunkFileNames: 'chunks/[name].js' },
  });
}

/** Their imports get the extensions and paths of the package: only the repository has `imports` for folders. */
function writeDeclarations(): void {
  const tsc = path.join(root, 'node_modules/.bin/tsc');
  execFileSync(tsc, ['--project', path.join(import.meta.dirname, 'tsconfig.json')], { stdio: 'inherit' });
  for (const name of globSync('**/*.d.ts', { cwd: dist })) {
    const file = path.join(dist, name);
    writeFileSync(file, rewriteSpecifiers(readFileSync(file, 'utf8'), path.dirname(name)));
  }
}
