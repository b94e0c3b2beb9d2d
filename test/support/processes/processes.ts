/** Real processes in tests: started, waited for by what they print or become, and never left behind. */
import { spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

import { setTimeout as sleep } from 'node:timers/promises';

/** Whatever ends what it started: a test's context. */
export interface Cleanup {
  after(run: () => unknown): void;
}

export interface RunningProcess {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  /** Everything printed so far, both streams. */
  output: () => string;
  /** Resolves with the first line, past or future, that matches. Rejects when the process ends without one. */
  line: (pattern: RegExp) => Promise<RegExpExecArray>;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

export interface RunOptions {
  env?: Record<string, string>;
  uid?: number;
  gid?: number;
  cwd?: string;
}

const dieWithParent = new URL('../../../services/local/processes/die-with-parent.ts', import.meta.url);

/** Runs a TypeScript file of this project with the Node that runs the tests. Killed when the test ends. */
export function runNode(t: Cleanup, args: readonly string[], options: RunOptions = {}): RunningProcess {
  const { env, ...ids } = options;
  const child = spawn(process.execPath, ['--import', dieWithParent.href, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'], // the channel ends it should the tests be killed
    env: { PATH: process.env['PATH'], ...env },
    ...ids,
  }) as ChildProcessByStdio<null, Readable, Readable>;
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let closed = false;
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      lines.push(line);
      for (const look of waiting) look();
    });
  }
  const exited = new Promise<Awaited<RunningProcess['exited']>>((resolve) => {
    child.once('close', (code, signal) => {
      closed = true;
      for (const look of waiting) look();
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
        const look = (): void => {
          for (const line of lines) {
            const match = pattern.exec(line);
            if (match !== null) {
              waiting.delete(look);
              resolve(match);
              return;
            }
          }
          if (closed) reject(new Error(`ended without ${pattern}:\n${lines.join('\n')}`));
        };
        waiting.add(look);
        look();
      }),
  };
}

/** A process that has ended but that nobody has waited for yet (a zombie) is not alive. */
export function isAlive(pid: number): boolean {
  const state = statusOf(pid, 'stat', /^State:\s+(\S)/m);
  return state !== undefined && !state.startsWith('Z');
}

/** The user that a process runs as. */
export function getUserId(pid: number): number {
  return Number(statusOf(pid, 'uid', /^Uid:\s+(\d+)/m));
}

/** From /proc where there is one: slim images have no `ps`. */
function statusOf(pid: number, psColumn: string, procLine: RegExp): string | undefined {
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

/** Resolves when none of the processes is alive; rejects when one still is after the bound. */
export async function waitUntilGone(pids: readonly number[], boundMs: number): Promise<void> {
  const deadline = performance.now() + boundMs;
  while (pids.some(isAlive)) {
    if (performance.now() > deadline)
      throw new Error(`still alive after ${boundMs} ms: ${pids.filter(isAlive).join()}`);
    await sleep(10);
  }
}
