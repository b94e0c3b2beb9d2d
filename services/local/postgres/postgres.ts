/**
 * An embedded PostgreSQL server with durable data, for one machine.
 *
 *   start: place the data ▸ lock them ▸ end what an earlier run left ▸ make the cluster if new ▸ run ▸ "ready" ▸ database
 *   end:   stop() asks for a fast shutdown; kill() does not ask; the guard does it when this process is gone.
 *          The lock is let go only when the server has ended.
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
import { endLeftoverServer } from './leftover-server.ts';

export interface PostgresOptions {
  dataDir: string;
  /** Without it, a free one. */
  port?: number;
  /** Server settings over the ones below. */
  settings?: Record<string, string>;
  onLog?: (severity: 'DEBUG' | 'WARNING' | 'ERROR', message: string) => void;
}

export interface Postgres {
  readonly url: string;
  readonly port: number;
  /** Where the data are: the directory asked for, unless PostgreSQL's user cannot reach it. */
  readonly dataDir: string;
  /** Resolves with the exit code when the server has ended, for whatever reason. */
  readonly exited: Promise<number>;
  /** Fast shutdown, bounded; resolves when the server has ended. */
  stop(): Promise<void>;
  /** Ends the server now; the next start recovers. */
  kill(): Promise<void>;
}

const databaseName = 'longhaul';
const startSeconds = 60; // recovery after a crash may take its time
const stopSeconds = 4;

const settings: Record<string, string> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '', // nobody uses them, and their paths have a length limit
  max_connections: '200',
  shared_buffers: '128MB',
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  wal_level: 'minimal', // nothing replicates
  max_wal_senders: '0',
  jit: 'off',
  timezone: 'UTC',
  lc_messages: 'C', // read below
  log_line_prefix: '',
  log_checkpoints: 'off',
  // Values of rows and statements hold prompts (invariant 12).
  log_error_verbosity: 'terse',
  log_min_error_statement: 'panic',
};

/** @throws {DataInUseError} when another process runs on the same data */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const place = prepareDataDirectory(options.dataDir);
  const lock = lockData(place.dir);
  try {
    const binaries = await findPostgresBinaries(place.user);
    await endLeftoverServer(place.clusterDir);
    const password = await ensureCluster(place, binaries);
    const { server, port } = await runServer(binaries, place, options);
    const exited = server.exited.finally(() => lock.release());
    exited.catch(() => {}); // whoever cares awaits it
    try {
      const url = await ensureDatabase(port, password);
      return {
        url,
        port,
        dataDir: place.dir,
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

/** A free port can be taken by another before the server has it: then the next one. */
async function runServer(
  { postgres }: PostgresBinaries,
  place: DataDirectory,
  options: PostgresOptions,
): Promise<{ server: Guarded; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await findEphemeralPort());
    const merged = { ...settings, ...options.settings, port: String(port) };
    const args = Object.entries(merged).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const server = runGuarded(postgres, ['-D', place.clusterDir, ...args], {
      user: place.user,
      env: { LC_ALL: 'C', TZ: 'UTC' },
      stopSeconds,
    });
    const failure = await untilReady(server, options.onLog ?? (() => {}));
    if (failure === undefined) return { server, port };
    server.kill();
    await server.exited;
    const taken = failure.includes('could not create any TCP/IP sockets');
    if (!taken || options.port !== undefined || attempt === 3) {
      throw new Error(`PostgreSQL did not start on ${place.clusterDir}: ${failure}`);
    }
  }
}

/** Resolves with undefined when the server accepts connections, else with what it said. */
async function untilReady(
  server: Guarded,
  onLog: NonNullable<PostgresOptions['onLog']>,
): Promise<string | undefined> {
  const { promise: ready, resolve } = Promise.withResolvers<undefined>();
  const said: string[] = [];
  server.stdout.resume();
  createInterface({ input: server.stderr }).on('line', (line) => {
    const [, level = '', message = line] = /^([A-Z]+\d?):\s+(.*)$/.exec(line) ?? [];
    onLog(severityOf(level), message);
    if (said.length < 20) said.push(message);
    if (message === 'database system is ready to accept connections') resolve(undefined);
  });
  return Promise.race([
    ready,
    server.exited.then(() => said.join('; ')),
    sleep(startSeconds * 1000, undefined, { ref: false }).then(
      () => `not ready after ${startSeconds} s: ${said.join('; ')}`,
    ),
  ]);
}

function severityOf(level: string): 'DEBUG' | 'WARNING' | 'ERROR' {
  if (level === 'FATAL' || level === 'PANIC') return 'ERROR';
  // A statement that fails is the business of whoever sent it.
  return level === 'ERROR' || level === 'WARNING' ? 'WARNING' : 'DEBUG';
}

async function ensureDatabase(port: number, password: string): Promise<string> {
  const urlOf = (database: string): string =>
    `postgres://${databaseRole}:${password}@127.0.0.1:${port}/${database}`;
  const client = new Client({ connectionString: urlOf('postgres') });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [databaseName]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${databaseName}`);
  } finally {
    await client.end();
  }
  return urlOf(databaseName);
}
