/**
 * Runs an embedded PostgreSQL server with durable data.
 *
 *   start: prepare the directory ▸ lock it ▸ stop a leftover server ▸ create the cluster if new ▸ run ▸ create the database
 *   end:   stop() requests a fast shutdown, kill() kills the server, and the guard stops it when this process ends.
 *          The lock is released only after the server has exited.
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { lockData } from './data-lock.ts';
import { prepareDataDirectory, type DataDirectory } from './data-directory.ts';
import { runGuarded, type Guarded } from '../processes/guard.ts';
import { findEphemeralPort } from '../ports.ts';
import { findPostgresBinaries, type PostgresBinaries } from './binaries.ts';
import { databaseRole, ensureCluster } from './cluster.ts';
import { stopLeftoverServer } from './leftover-server.ts';

export interface PostgresOptions {
  dataDir: string;
  /** Default: any free port. */
  port?: number;
  /** Server settings that override the defaults below. */
  settings?: Record<string, string>;
  onLog?: (severity: 'DEBUG' | 'WARNING' | 'ERROR', message: string) => void;
}

export interface Postgres {
  readonly url: string;
  readonly port: number;
  /**
   * The directory of the data. Differs from the option if the user of PostgreSQL cannot enter that directory.
   */
  readonly dataDir: string;
  /** Resolves to the exit code when the server has exited for any reason. */
  readonly exited: Promise<number>;
  /** Requests a fast shutdown, and kills the server after 4 seconds. Resolves when it has exited. */
  stop(): Promise<void>;
  /** Kills the server. The next start recovers the data. */
  kill(): Promise<void>;
}

const databaseName = 'longhaul';
const startSeconds = 60; // recovery after a crash can be slow
const stopSeconds = 4;

const settings: Record<string, string> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '', // unused, and their paths have a length limit
  max_connections: '200',
  shared_buffers: '128MB',
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  wal_level: 'minimal', // nothing replicates
  max_wal_senders: '0',
  jit: 'off',
  timezone: 'UTC',
  lc_messages: 'C', // the messages are parsed below
  log_line_prefix: '',
  log_checkpoints: 'off',
  // Rows and statements contain prompts, which must not be logged (invariant 12).
  log_error_verbosity: 'terse',
  log_min_error_statement: 'panic',
};

/**
 * @throws {DataInUseError} if another process uses the same data
 * @throws {Error} if the server does not start within 60 seconds
 */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const directory = prepareDataDirectory(options.dataDir);
  const lock = lockData(directory.dir);
  try {
    const binaries = await findPostgresBinaries(directory.user);
    await stopLeftoverServer(directory.clusterDir);
    const password = await ensureCluster(directory, binaries);
    const { server, port } = await runServer(binaries, directory, options);
    const exited = server.exited.finally(() => lock.release());
    exited.catch(() => {}); // handled by the callers that await it
    try {
      const url = await ensureDatabase(port, password);
      return {
        url,
        port,
        dataDir: directory.dir,
        exited,
        stop: async () => {
          server.stop();
          await exited;
        },
        kill: async () => {
          server.kill();
          await exited;
        },
      };
    } catch (error) {
      server.kill();
      await exited;
      throw error;
    }
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Starts the server. Retries with another port if another program takes the free port first. */
async function runServer(
  { postgres }: PostgresBinaries,
  directory: DataDirectory,
  options: PostgresOptions,
): Promise<{ server: Guarded; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await findEphemeralPort());
    const merged = { ...settings, ...options.settings, port: String(port) };
    const args = Object.entries(merged).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const server = runGuarded(postgres, ['-D', directory.clusterDir, ...args], {
      user: directory.user,
      env: { LC_ALL: 'C', TZ: 'UTC' },
      stopSeconds,
    });
    const failure = await waitUntilReady(server, options.onLog ?? (() => {}));
    if (failure === undefined) return { server, port };
    server.kill();
    await server.exited;
    const portTaken = failure.includes('could not create any TCP/IP sockets');
    if (!portTaken || options.port !== undefined || attempt === 3) {
      throw new Error(`PostgreSQL did not start on ${directory.clusterDir}: ${failure}`);
    }
  }
}

/** Resolves to undefined when the server accepts connections, or to its output when it fails. */
async function waitUntilReady(
  server: Guarded,
  onLog: NonNullable<PostgresOptions['onLog']>,
): Promise<string | undefined> {
  const { promise: ready, resolve } = Promise.withResolvers<undefined>();
  const output: string[] = [];
  server.stdout.resume();
  createInterface({ input: server.stderr }).on('line', (line) => {
    const [, level = '', message = line] = /^([A-Z]+\d?):\s+(.*)$/.exec(line) ?? [];
    onLog(getSeverity(level), message);
    if (output.length < 20) output.push(message);
    if (message === 'database system is ready to accept connections') resolve(undefined);
  });
  return Promise.race([
    ready,
    server.exited.then(() => output.join('; ')),
    sleep(startSeconds * 1000, undefined, { ref: false }).then(
      () => `not ready after ${startSeconds} s: ${output.join('; ')}`,
    ),
  ]);
}

function getSeverity(level: string): 'DEBUG' | 'WARNING' | 'ERROR' {
  if (level === 'FATAL' || level === 'PANIC') return 'ERROR';
  // A failed statement is reported to its client, so it is only a warning here.
  return level === 'ERROR' || level === 'WARNING' ? 'WARNING' : 'DEBUG';
}

async function ensureDatabase(port: number, password: string): Promise<string> {
  const createUrl = (database: string): string =>
    `postgres://${databaseRole}:${password}@127.0.0.1:${port}/${database}`;
  const client = new Client({ connectionString: createUrl('postgres') });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [databaseName]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${databaseName}`);
  } finally {
    await client.end();
  }
  return createUrl(databaseName);
}
