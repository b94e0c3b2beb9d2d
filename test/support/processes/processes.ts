/** Starts real processes in tests, waits for their output or exit, and kills them when the test ends. */
import { spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Cleanup } from '../cleanup.ts';
import { waitFor } from '../wait-for.ts';

export interface RunningProcess {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  /** Returns everything printed so far, to stdout and stderr. */
  output: () => string;
  /** Resolves to the first matching line, past or future. Rejects if the process exits without one. */
  line: (pattern: RegExp) => Promise<RegExpExecArray>;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

export interface RunOptions {
  env?: Record<string, string>;
  uid?: number;
  gid?: number;
  cwd?: string;
}

const projectDir = new URL('../../../', import.meta.url);
const dieWithParent = new URL('services/local/processes/die-with-parent.ts', projectDir);

/** Runs a TypeScript file, relative to the project, with the Node version of the tests. Killed when the test ends. */
export function runNode(t: Cleanup, args: readonly string[], options: RunOptions = {}): RunningProcess {
  const { env, ...ids } = options;
  const child = spawn(process.execPath, ['--import', dieWithParent.href, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'], // the channel ends the process if the tests are killed
    env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'], ...env },
    cwd: projectDir,
    ...ids,
  }) as ChildProcessByStdio<null, Readable, Readable>;
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let closed = false;
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      lines.push(line);
      for (const check of waiting) check();
    });
  }
  const exited = new Promise<Awaited<RunningProcess['exited']>>((resolve) => {
    child.once('close', (code, signal) => {
      closed = true;
      for (const check of waiting) check();
      resolve({ code, signal });
    });
  });
  t.after(async () => {
    child.kill('SIGKILL');
    await exited;
  });

  return {
    child,
    exited,
    output: () => lines.join('\n'),
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          for (const line of lines) {
            const match = pattern.exec(line);
            if (match !== null) {
              waiting.delete(check);
              resolve(match);
              return;
            }
          }
          if (closed) reject(new Error(`exited without ${pattern}:\n${lines.join('\n')}`));
        };
        waiting.add(check);
        check();
      }),
  };
}

/** Whether a process is running. A zombie, whose exit its parent has not collected, is not alive. */
export function isAlive(pid: number): boolean {
  const state = readStatus(pid, 'stat', /^State:\s+(\S)/m);
  return state !== undefined && !state.startsWith('Z');
}

/** Returns the id of the user that runs a process. */
export function getUserId(pid: number): number {
  return Number(readStatus(pid, 'uid', /^Uid:\s+(\d+)/m));
}

/** Reads /proc on Linux, because slim images have no `ps`. */
function readStatus(pid: number, psColumn: string, procLine: RegExp): string | undefined {
  if (process.platform === 'linux') {
    try {
      return procLine.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    } catch {
      return undefined;
    }
  }
  const ps = spawnSync('ps', ['-o', `${psColumn}=`, '-p', String(pid)], { encoding: 'utf8' });
  return ps.status === 0 ? ps.stdout.trim() : undefined;
}

/** Resolves when all processes have exited. Rejects if one is still alive after `boundMs`. */
export async function waitUntilGone(pids: readonly number[], boundMs: number): Promise<void> {
  await waitFor(`the exit of ${pids.join(', ')}`, () => !pids.some(isAlive), { boundMs });
}
