/** Runs commands of a user with their own Node.js and npm, and measures them. */
// cspell:ignore cafile
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chownSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';

export interface User {
  uid: number;
  gid: number;
}

export interface Shell {
  /** The folder of the project. */
  readonly cwd: string;
  /** Runs a command to its end, and returns its output. @throws {Error} with the output if it fails */
  run(name: string, command: string): Promise<string>;
  /** Starts a command in a process group of its own. */
  start(command: string, env?: Record<string, string>): ChildProcess;
  /** The ids of processes that work in the folder. */
  processes(): number[];
}

/** Settings of all runs, and the registry of this machine for an npm that has another home and place. */
const npmSettings = {
  npm_config_fund: 'false',
  npm_config_audit: 'false',
  npm_config_update_notifier: 'false',
  ...Object.fromEntries(
    ['registry', 'cafile'].flatMap((name) => {
      const value = execFileSync('npm', ['config', 'get', name], {
        cwd: os.tmpdir(),
        encoding: 'utf8',
      }).trim();
      return value === 'null' ? [] : [[`npm_config_${name}`, value]];
    }),
  ),
};

/** @param report gets the seconds of each command */
export function createShell(options: {
  cwd: string;
  /** Folders of programs that come before those of the machine. */
  bin: readonly string[];
  /** The cache of npm. */
  cache: string;
  user: User | undefined;
  report: (name: string, seconds: number) => void;
}): Shell {
  const { cwd, bin, cache, user, report } = options;
  const home = `${cwd}-home`;
  for (const folder of [home, cwd, cache]) {
    mkdirSync(folder, { recursive: true });
    if (user !== undefined) chownSync(folder, user.uid, user.gid);
  }
  // Without the variables of the npm that runs this program.
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^npm_|^NODE_(?!EXTRA_CA_CERTS)/i.test(name),
  );
  const own = process.env['PATH']?.split(':').filter((folder) => !folder.includes('node_modules'));
  const env = { ...Object.fromEntries(inherited), HOME: home, PATH: [...bin, ...(own ?? [])].join(':') };

  const start = (command: string, more: Record<string, string> = {}): ChildProcess =>
    spawn('bash', ['-c', command], {
      cwd,
      env: { ...env, ...npmSettings, npm_config_cache: cache, ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...user,
    });

  return {
    cwd,
    start,
    run: async (name, command) => {
      const startedAt = performance.now();
      const child = start(command);
      let output = '';
      for (const stream of [child.stdout, child.stderr])
        stream?.on('data', (data) => (output += String(data)));
      const code = await new Promise((resolve) => child.once('close', resolve));
      if (code !== 0) throw new Error(`${name} failed: ${command}\n${output}`);
      report(name, (performance.now() - startedAt) / 1000);
      return output;
    },
    processes: () => findProcesses(cwd),
  };
}

/** Processes whose working directory or command line is in a folder. Linux only. */
function findProcesses(folder: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!(pid > 0)) return false;
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
        return command.includes(folder) || environment.includes(`PWD=${folder}`);
      } catch {
        return false;
      }
    });
}
