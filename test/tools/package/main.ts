/**
 * `npm run test:package` uses the package as an author does: packs it, installs the tarball into empty folders, writes
 * an agent of each kind with `longhaul init`, runs its tests, and runs it with `longhaul dev` and as an image would.
 * Takes minutes, and installs from the registry.
 *
 *   typescript   the checks of this kind of agent alone; also yaml, javascript
 *   --node 22    with another Node.js      --npm 12    with another npm      --user    not as root
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { languages } from '#services/cli/init/files.ts';
import { checkDev } from './dev.ts';
import { checkImage } from './image.ts';
import { checkScaffold } from './scaffold.ts';
import { createShell, type Shell } from './shell.ts';
import { checkTypes } from './types.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    node: { type: 'string' },
    npm: { type: 'string' },
    user: { type: 'boolean', default: false },
  },
});
const nobody = { uid: 65_534, gid: 65_534 };
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const report = (name: string, seconds: number): void => print(`${seconds.toFixed(1).padStart(7)} s  ${name}`);

const root = mkdtempSync(path.join(os.tmpdir(), 'longhaul-package-'));
execFileSync('chmod', ['755', root]);
try {
  const tools = getTools();
  const tarball = pack();
  const createProject = (name: string): Shell =>
    createShell({
      cwd: path.join(root, name),
      bin: tools,
      cache: path.join(root, 'npm-cache'),
      user: values.user ? nobody : undefined,
      report: (step, seconds) => report(`${name}: ${step}`, seconds),
    });
  for (const language of positionals.length > 0 ? positionals : languages) {
    const project = createProject(language);
    await checkScaffold(project, tarball, language);
    if (language !== 'typescript') continue;
    await checkTypes(project);
    await checkDev(project, print);
    await checkImage(project, { root, tarball, print });
  }
  print('all checks passed');
} finally {
  rmSync(root, { recursive: true, force: true });
}
// The PostgreSQL server of the image's check runs until this process ends.
process.exit();

/** Installs the wanted versions, and returns the folders of their programs. */
function getTools(): string[] {
  const wanted = [
    ...(values.node === undefined ? [] : [`node@${values.node}`]),
    ...(values.npm === undefined ? [] : [`npm@${values.npm}`]),
  ];
  if (wanted.length > 0) {
    const folder = path.join(root, 'tools');
    mkdirSync(folder);
    // The script of the package `node` installs its program.
    writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ allowScripts: { node: true } }));
    const args = ['install', '--no-audit', '--no-fund', ...wanted];
    execFileSync('npm', args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  }
  const own = path.dirname(process.execPath);
  const bin = [...(wanted.length > 0 ? [path.join(root, 'tools/node_modules/.bin')] : []), own];
  const env = { ...process.env, PATH: [...bin, process.env['PATH']].join(':') };
  const version = (program: string) => execFileSync(program, ['--version'], { encoding: 'utf8', env }).trim();
  print(
    `node ${version('node')}, npm ${version('npm')}, ${values.user ? 'as a user' : `uid ${process.getuid?.()}`}`,
  );
  return bin;
}

function pack(): string {
  execFileSync(process.execPath, ['build/main.ts'], { stdio: 'inherit' });
  const output = execFileSync('npm', ['pack', './dist', '--json', '--pack-destination', root], {
    encoding: 'utf8',
  });
  const [packed] = Object.values(JSON.parse(output) as Record<string, Packed>);
  if (packed === undefined) throw new Error(`npm pack printed no package:\n${output}`);
  const mb = (bytes: number): string => (bytes / 1e6).toFixed(2);
  print(
    `${packed.filename}: ${packed.entryCount} files, ${mb(packed.size)} MB packed, ${mb(packed.unpackedSize)} MB`,
  );
  return path.join(root, packed.filename);
}

interface Packed {
  filename: string;
  entryCount: number;
  size: number;
  unpackedSize: number;
}
