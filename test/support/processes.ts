/** Real processes in tests: started, waited for by what they print or become, and never left behind. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Running {
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
}

/** Runs a TypeScript file of this project with the Node that runs the tests. Killed when the test ends. */
export function runNode(t: TestContext, args: readonly string[], options: RunOptions = {}): Running {
  const { env, ...ids } = options;
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], ...env },
    ...ids,
  });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let closed = false;
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      lines.push(line);
      for (const look of waiting) look();
    });
  }
  const exited = new Promise<Awaited<Running['exited']>>((resolve) => {
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

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Resolves when none of the processes is alive; rejects when one still is after the bound. */
export async function untilGone(pids: readonly number[], boundMs: number): Promise<void> {
  const deadline = performance.now() + boundMs;
  while (pids.some(isAlive)) {
    if (performance.now() > deadline)
      throw new Error(`still alive after ${boundMs} ms: ${pids.filter(isAlive).join()}`);
    await sleep(10);
  }
}
