/**
 * `npm run sbom`: prints the software bill of materials (CycloneDX) of the npm packages in the images, from the lock file
 * and without a network. `npm sbom --omit dev` also leaves out production packages that are development dependencies of
 * another package, so npm gets a lock file that has only the packages of the images.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

interface LockEntry {
  dev?: boolean;
  optional?: boolean;
  devOptional?: boolean;
  devDependencies?: object;
  optionalDependencies?: object;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (name: string) => JSON.parse(readFileSync(path.join(root, name), 'utf8'));
const lock = read('package-lock.json') as { packages: Record<string, LockEntry> };
const installed = Object.entries(lock.packages)
  .filter(([, { dev, optional, devOptional }]) => dev !== true && optional !== true && devOptional !== true)
  .map(([name, entry]) => [name, name === '' ? keepProduction(entry) : entry]);

const parent = mkdtempSync(path.join(os.tmpdir(), 'sbom-'));
const dir = path.join(parent, 'longhaul'); // npm names the root component after the folder
try {
  mkdirSync(dir);
  write('package.json', keepProduction(read('package.json') as LockEntry));
  write('package-lock.json', { ...lock, packages: Object.fromEntries(installed) });
  execFileSync('npm', ['sbom', '--package-lock-only', '--sbom-format=cyclonedx'], {
    cwd: dir,
    stdio: 'inherit',
  });
} finally {
  rmSync(parent, { recursive: true });
}

function keepProduction({ devDependencies: _dev, optionalDependencies: _optional, ...entry }: LockEntry) {
  return entry;
}

function write(name: string, content: object): void {
  writeFileSync(path.join(dir, name), JSON.stringify(content));
}
