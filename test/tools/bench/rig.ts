/**
 * The measured system, started for each case: a durable PostgreSQL, the local emulators, and the services and peers
 * as separate processes.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Client } from 'pg';
import { migrateToLatest } from '#shared/db/schema/migrate.ts';
import { startPostgres } from '#services/local/postgres/postgres.ts';
import { createCleanup } from '../../support/cleanup.ts';
import { serverVariable } from '../../support/database/variables.ts';
import { freePort } from '../../support/network/ports.ts';
import { startStack, type ServiceKind, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';
import type { Job, JobResult } from './jobs.ts';

export interface MeasuredProcess {
  readonly url: string;
  readonly child: ChildProcess;
  /** Milliseconds from the start of the process until it first reports ready. */
  readonly readyMs: number;
  /** Sends one message and resolves to the reply. */
  ask<T>(message: object): Promise<T>;
  kill(): Promise<void>;
}

export interface Rig {
  readonly stack: Stack;
  service(kind: ServiceKind, env?: Record<string, string>): Promise<MeasuredProcess>;
  peer(
    name: 'sdk' | 'floor' | 'graphile' | 'dbos' | 'posts',
    env: Record<string, string>,
  ): Promise<MeasuredProcess>;
  /** Starts another file, which answers messages (serve-parent.ts). */
  helper(file: string): Promise<MeasuredProcess>;
  /** An empty database on the same server. */
  createEmptyDatabase(): Promise<string>;
  /** Runs a job in the load process. */
  load(job: Job): Promise<JobResult>;
}

const here = import.meta.dirname;
/** BENCH_PROFILE is a folder for CPU profiles of the services; they show wall time. */
const profileDir = process.env['BENCH_PROFILE'];
const profile = profileDir === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profileDir];
const dieWithParent = new URL('../../../services/local/processes/die-with-parent.ts', import.meta.url).href;

export interface BenchServer {
  /** The address of the database whose copies are the empty ones. */
  readonly url: string;
  /** Ends the server, and makes the one before the current one again. */
  stop(): Promise<void>;
}

/**
 * Starts the PostgreSQL of the rigs from now on, with fsync and synchronous_commit on (the default of startPostgres).
 *
 * @param options.dataDir is kept. Default: a temporary directory
 */
export async function startServer(
  options: { dataDir?: string; settings?: Record<string, string> } = {},
): Promise<BenchServer> {
  const { dataDir = mkdtempSync(path.join(os.tmpdir(), 'longhaul-bench-')), settings = {} } = options;
  const server = await startPostgres({ dataDir, settings });
  await migrateToLatest(server);
  const before = process.env[serverVariable];
  process.env[serverVariable] = server.url;
  return {
    url: server.url,
    stop: async () => {
      if (before === undefined) delete process.env[serverVariable];
      else process.env[serverVariable] = before;
      await server.stop();
      if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** @param extra environment variables of the services */
export async function withRig<T>(
  run: (rig: Rig) => Promise<T>,
  extra: Record<string, string> = {},
): Promise<T> {
  const cleanup = createCleanup();
  try {
    const stack = await startStack(cleanup, {
      AGENT_MODULE: path.join(here, 'agent.ts'),
      LOG_LEVEL: 'warn',
      // Values of production: shorter intervals would add work that belongs to no task.
      LEASE_SECONDS: '60',
      WAKEUP_GRACE_SECONDS: '10',
      RECONCILE_SECONDS: '2',
      MAX_STREAMS: '20000',
      MAX_STREAMS_PER_CALLER: '20000',
      MAX_CONNECTIONS: '40000',
      MAX_CONNECTIONS_PER_ADDRESS: '0',
      ...extra,
    });
    const start = async (file: string, env: Record<string, string>, ready: boolean, flags: string[] = []) => {
      const started = await startProcess(file, env, ready, flags);
      cleanup.after(() => started.kill());
      return started;
    };
    const loader = await start(path.join(here, 'load.ts'), {}, false);
    return await run({
      stack,
      service: async (kind, env = {}) => {
        // The dispatcher needs the port at which Cloud Tasks calls it.
        const port = kind === 'dispatcher' ? new URL(stack.env['DISPATCHER_URL'] ?? '').port : undefined;
        const all = { ...stack.env, ...(port !== undefined && { PORT: port }), ...env };
        const probe = ['--expose-gc', '--import', path.join(here, 'probe.ts'), ...profile];
        return start(`services/${kind}/main.ts`, all, true, probe);
      },
      // Warnings about the peers' own code do not help a reader of the figures.
      peer: (name, env) =>
        start(path.join(here, 'peers', `${name}.ts`), { NODE_NO_WARNINGS: '1', ...env }, name === 'sdk'),
      helper: (file) => start(file, {}, false),
      createEmptyDatabase: () => createEmptyDatabase(stack.databaseUrl),
      load: async (job) => {
        const { result, error } = await loader.ask<{ result?: JobResult; error?: string }>(job);
        if (result === undefined) throw new Error(error);
        return result;
      },
    });
  } finally {
    await cleanup.run();
  }
}

async function startProcess(
  file: string,
  env: Record<string, string>,
  listens: boolean,
  flags: string[],
): Promise<MeasuredProcess> {
  const port = env['PORT'] ?? String(await freePort());
  const started = performance.now();
  const child = spawn(process.execPath, ['--import', dieWithParent, ...flags, file], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { PATH: process.env['PATH'], ...env, PORT: port },
  });
  const exited = once(child, 'exit');
  const url = `http://127.0.0.1:${port}`;
  if (listens)
    await Promise.race([waitUntilReady(url), exited.then(() => Promise.reject(new Error(`${file} ended`)))]);
  return {
    url,
    child,
    readyMs: performance.now() - started,
    ask: async <T>(message: object) => {
      const reply = once(child, 'message');
      child.send(message);
      const [value] = (await Promise.race([
        reply,
        exited.then(() => Promise.reject(new Error(`${file} ended`))),
      ])) as [T];
      return value;
    },
    kill: async () => {
      // Only a process that exits by itself writes its profile.
      child.kill(profileDir === undefined ? 'SIGKILL' : 'SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await exited;
    },
  };
}

async function waitUntilReady(url: string): Promise<void> {
  await waitFor(`${url} to be ready`, () =>
    fetch(`${url}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
}

async function createEmptyDatabase(serverUrl: string): Promise<string> {
  const name = `peer_${process.hrtime.bigint()}`;
  const client = new Client({ connectionString: serverUrl });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** Creates the tables of the SDK's store, with the SDK's own tool. */
export async function migrateSdk(databaseUrl: string): Promise<void> {
  const tool = path.join(here, '../../../node_modules/@a2a-js/sdk/dist/cli/a2a_db.js');
  const child = spawn(process.execPath, [tool, 'upgrade', '--url', databaseUrl], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = (await once(child, 'exit')) as [number];
  if (code !== 0) throw new Error('a2a-db upgrade failed');
}
