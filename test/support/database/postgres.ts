/**
 * A database of its own for each test file, on one real PostgreSQL server for the whole run. Under `npm test` the
 * server is started once (global-setup.ts) and its address handed down in the environment; a file that is run by hand
 * starts one for itself. Either way it ends with the process that started it, however that ends.
 */
import { randomUUID } from 'node:crypto';
import { after } from 'node:test';
import { Client } from 'pg';
import { portVariable, serverVariable, startTestServer, type TestServer } from './test-server.ts';

export interface TestDatabase {
  readonly url: string;
  /** Drops the database, whoever is still connected to it. */
  close: () => Promise<void>;
}

let own: Promise<TestServer> | undefined;
const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers) await close();
  await (await own)?.stop();
});

/** Has something closed when the tests of this file are done, before its server stops. */
export function beforeStop(close: () => Promise<void>): void {
  closers.push(close);
}

/** A fresh database with the newest schema. `direct`: past any pooler, for what is about logging in to the server. */
export async function testDatabase({ direct = false } = {}): Promise<TestDatabase> {
  const { templateUrl, port } = await testServer();
  const template = new URL(templateUrl).pathname.slice(1);
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await administer(templateUrl, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  return {
    url: withDatabase(templateUrl, name, direct ? undefined : port),
    close: () => administer(templateUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

async function testServer(): Promise<Pick<TestServer, 'templateUrl' | 'port'>> {
  const templateUrl = process.env[serverVariable];
  if (templateUrl !== undefined) return { templateUrl, port: Number(process.env[portVariable]) };
  return (own ??= startTestServer());
}

/** Runs one statement beside the template: nobody may be connected to that while it is copied. */
async function administer(templateUrl: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: withDatabase(templateUrl, 'postgres') });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

function withDatabase(url: string, name: string, port?: number): string {
  const other = new URL(url);
  if (port !== undefined) other.port = String(port);
  other.pathname = `/${name}`;
  return other.href;
}
