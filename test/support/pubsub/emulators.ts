/**
 * Starts the two servers under contract as child processes: the emulator of this repository, and Google's emulator if the
 * `gcloud` command, its emulator component and Java are installed.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { freePort } from '../network/ports.ts';

export interface RunningEmulator {
  host: string;
  /** Serves the public keys of push tokens. Undefined for Google's emulator, which sends no tokens. */
  jwksUrl?: string;
  /** Ends the process and resolves to its exit code. */
  stop(): Promise<number | null>;
}

const MAIN = fileURLToPath(import.meta.resolve('../../../services/local/pubsub-emulator/main.ts'));

export async function startLocalEmulator(): Promise<RunningEmulator> {
  const child = spawn(process.execPath, [MAIN], {
    env: { ...process.env, PORT: '0', JWKS_PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = await waitForLine(child, '"message":"ready"');
  const { host, jwksUrl } = JSON.parse(line) as { host: string; jwksUrl: string };
  return {
    host,
    jwksUrl,
    async stop() {
      const exit = once(child, 'exit');
      child.kill('SIGTERM');
      const [code] = await exit;
      return code as number | null;
    },
  };
}

/** Returns the reason why Google's emulator cannot run on this machine, or undefined if it can. */
export function findMissingCommands(): string | undefined {
  const missing = ['gcloud', 'java'].filter((command) => findCommand(command) === undefined);
  return missing.length > 0 ? `not installed: ${missing.join(', ')}` : undefined;
}

export async function startGoogleEmulator(): Promise<RunningEmulator> {
  const host = `127.0.0.1:${await freePort()}`;
  const directory = mkdtempSync(join(tmpdir(), 'pubsub-google-'));
  const args = ['beta', 'emulators', 'pubsub', 'start', `--host-port=${host}`, `--data-dir=${directory}`];
  // gcloud starts Java as a child and does not end it. Killing their process group ends both.
  const gcloud = findCommand('gcloud');
  if (!gcloud) throw new Error('gcloud is not installed');
  const child = spawn(gcloud, args, {
    detached: true,
    env: { ...process.env, CLOUDSDK_CONFIG: directory, CLOUDSDK_CORE_DISABLE_PROMPTS: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = (): void => {
    try {
      if (child.pid) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has exited already.
    }
  };
  process.once('exit', kill);
  await waitForLine(child, 'Server started');
  return {
    host,
    async stop() {
      const exit = once(child, 'exit');
      kill();
      process.off('exit', kill);
      await exit;
      rmSync(directory, { recursive: true, force: true });
      return null;
    },
  };
}

/** Resolves to the first line of output that contains `text`. Rejects with all output if the process exits first. */
function waitForLine(child: ChildProcess, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const seen: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      createInterface(stream).on('line', (line) => {
        seen.push(line);
        if (line.includes(text)) resolve(line);
      });
    }
    child.once('error', reject);
    child.once('exit', (code) =>
      reject(new Error(`exited with ${code} before "${text}":\n${seen.join('\n')}`)),
    );
  });
}

function findCommand(command: string): string | undefined {
  const directories = (process.env.PATH ?? '').split(delimiter);
  return directories.map((directory) => join(directory, command)).find((path) => existsSync(path));
}
