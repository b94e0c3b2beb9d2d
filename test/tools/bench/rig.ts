/**
 * What is measured, started afresh for each case: PostgreSQL with its durability on, the stand-ins, the services and the
 * peers as processes of their own.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { migrateToLatest } from '#shared/db/schema/migrate.ts';
import { startPostgres } from '#services/local/postgres/postgres.ts';
import { serverVariable } from '../../support/database/test-server.ts';
import { freePort } from '../../support/ports.ts';
import { startStack, type ServiceKind, type Stack } from '../../support/stack.ts';
import type { Job, Seen } from './jobs.ts';

export interface Process {
  readonly url: string;
  readonly child: ChildProcess;
  /** Milliseconds from its start to its first answer that it is ready. */
  readonly readyMs: number;
  /** One message there, one back. */
  ask<T>(message: object): Promise<T>;
  kill(): Promise<void>;
}

export interface Rig {
  readonly stack: Stack;
  service(kind: ServiceKind, env?: Record<string, string>): Promise<Process>;
  peer(name: 'sdk' | 'floor' | 'graphile' | 'dbos', env: Record<string, string>): Promise<Process>;
  /** An empty database on the same server. */
  emptyDatabase(): Promise<string>;
  /** Has the process that makes load do something. */
  load(job: Job): Promise<Seen>;
}

const here = import.meta.dirname;
/** BENCH_PROFILE names a folder for CPU profiles of the services; they show wall time. */
const profileDir = process.env['BENCH_PROFILE'];
const profile = profileDir === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profileDir];
const dieWithParent = new URL('../../../services/local/processes/die-with-parent.ts', import.meta.url).href;

/** One PostgreSQL for the whole run. fsync and synchronous_commit are on, which is its default here. */
export async function startServer(): Promise<{ stop(): Promise<void> }> {
  const dataDir = mkdtempSync(path.join(os.tmpdir(), 'longhaul-bench-'));
  const server = await startPostgres({ dataDir });
  await migrateToLatest(server);
  process.env[serverVariable] = server.url;
  return {
    stop: async () => {
      await server.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

export async function withRig<T>(run: (rig: Rig) => Promise<T>): Promise<T> {
  const cleanups: (() => unknown)[] = [];
  const after = (cleanup: () => unknown): void => void cleanups.unshift(cleanup);
  try {
    const stack = await startStack(
      { after },
      {
        AGENT_MODULE: path.join(here, 'agent.ts'),
        LOG_LEVEL: 'warn',
        // As in production: what is short in tests would be work that is not the tasks'.
        LEASE_SECONDS: '30',
        WAKEUP_GRACE_SECONDS: '10',
        RECONCILE_SECONDS: '2',
        MAX_STREAMS: '20000',
        MAX_STREAMS_PER_CALLER: '20000',
      },
    );
    const start = async (file: string, env: Record<string, string>, ready: boolean, flags: string[] = []) => {
      const one = await startProcess(file, env, ready, flags);
      after(() => one.kill());
      return one;
    };
    const loader = await start(path.join(here, 'load.ts'), {}, false);
    return await run({
      stack,
      service: async (kind, env = {}) => {
        // The dispatcher is where Cloud Tasks has been told that it is.
        const port = kind === 'dispatcher' ? new URL(stack.env['DISPATCHER_URL'] ?? '').port : undefined;
        const all = { ...stack.env, ...(port !== undefined && { PORT: port }), ...env };
        const probe = ['--expose-gc', '--import', path.join(here, 'probe.ts'), ...profile];
        return start(`services/${kind}/main.ts`, all, true, probe);
      },
      // What their own code is warned of is nothing that a reader of the figures can use.
      peer: (name, env) =>
        start(path.join(here, 'peers', `${name}.ts`), { NODE_NO_WARNINGS: '1', ...env }, name === 'sdk'),
      emptyDatabase: () => emptyDatabase(stack.databaseUrl),
      load: async (job) => {
        const answer = await loader.ask<{ seen?: Seen; error?: string }>(job);
        if (answer.seen === undefined) throw new Error(answer.error);
        return answer.seen;
      },
    });
  } finally {
    for (const cleanup of cleanups) await cleanup();
  }
}

async function startProcess(
  file: string,
  env: Record<string, string>,
  listens: boolean,
  flags: string[],
): Promise<Process> {
  const port = env['PORT'] ?? String(await freePort());
  const began = performance.now();
  const child = spawn(process.execPath, ['--import', dieWithParent, ...flags, file], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { PATH: process.env['PATH'], ...env, PORT: port },
  });
  const exited = once(child, 'exit');
  const url = `http://127.0.0.1:${port}`;
  if (listens)
    await Promise.race([untilReady(url), exited.then(() => Promise.reject(new Error(`${file} ended`)))]);
  return {
    url,
    child,
    readyMs: performance.now() - began,
    ask: async <T>(message: object) => {
      const answer = once(child, 'message');
      child.send(message);
      const [value] = (await Promise.race([
        answer,
        exited.then(() => Promise.reject(new Error(`${file} ended`))),
      ])) as [T];
      return value;
    },
    kill: async () => {
      // A profile is written by a process that ends by itself.
      child.kill(profileDir === undefined ? 'SIGKILL' : 'SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await exited;
    },
  };
}

async function untilReady(url: string): Promise<void> {
  for (;;) {
    const ready = await fetch(`${url}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (ready) return;
    await sleep(5);
  }
}

async function emptyDatabase(beside: string): Promise<string> {
  const name = `peer_${process.hrtime.bigint()}`;
  const client = new Client({ connectionString: beside });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const url = new URL(beside);
  url.pathname = `/${name}`;
  return url.href;
}

/** The SDK's own tool makes the tables of its store. */
export async function migrateSdk(databaseUrl: string): Promise<void> {
  const tool = path.join(here, '../../../node_modules/@a2a-js/sdk/dist/cli/a2a_db.js');
  const child = spawn(process.execPath, [tool, 'upgrade', '--url', databaseUrl], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = (await once(child, 'exit')) as [number];
  if (code !== 0) throw new Error('a2a-db upgrade failed');
}
