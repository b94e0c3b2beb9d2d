/**
 * Sets up a database around its first migration: creates it, and grants another user the right to read and
 * write rows. For deployments whose services do not connect as the owner of the schema.
 */
import { Client } from 'pg';
import type { DatabaseAddress } from '../../runtime/config/database.ts';
import { toConnectionOptions } from '../client/pool.ts';

const duplicateDatabase = '42P04';
const invalidCatalogName = '3D000';

/**
 * Creates the database of the address if it does not exist. To do so, connects to `postgres`, which always
 * exists.
 */
export async function ensureDatabase(address: DatabaseAddress): Promise<void> {
  const url = new URL(address.url);
  const name = decodeURIComponent(url.pathname.slice(1));
  const exists = await withClient(address, async () => Promise.resolve(true)).catch((error: unknown) => {
    if ((error as { code?: unknown }).code === invalidCatalogName) return false;
    throw error;
  });
  if (exists) return;
  url.pathname = '/postgres';
  await withClient({ ...address, url: url.href }, async (client) => {
    await client.query(`create database ${client.escapeIdentifier(name)}`);
  }).catch((error: unknown) => {
    if ((error as { code?: unknown }).code !== duplicateDatabase) throw error;
  });
}

/** Grants a user the rows of all tables, including those that later migrations create. */
export async function grantRows(address: DatabaseAddress, user: string): Promise<void> {
  await withClient(address, async (client) => {
    const role = client.escapeIdentifier(user);
    const rows = 'select, insert, update, delete';
    await client.query(`grant usage on schema public to ${role}`);
    await client.query(`grant ${rows} on all tables in schema public to ${role}`);
    await client.query(`grant usage, select on all sequences in schema public to ${role}`);
    await client.query(`alter default privileges in schema public grant ${rows} on tables to ${role}`);
    await client.query(
      `alter default privileges in schema public grant usage, select on sequences to ${role}`,
    );
  });
}

async function withClient<T>(address: DatabaseAddress, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ ...toConnectionOptions(address), connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined); // the query in flight rejects with it
  try {
    await client.connect();
    return await use(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
