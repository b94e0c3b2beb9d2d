/**
 * What a new database needs before and after its first migration, where the one who migrates owns the schema and the
 * services are another user: the database itself, and the right to read and write rows, but not to change tables.
 */
import { Client } from 'pg';
import type { DatabaseAddress } from '../../runtime/config/database.ts';
import { connectionOptions } from '../client/connection.ts';

const duplicateDatabase = '42P04';
const invalidCatalogName = '3D000';

/** Makes the database of the address where it does not exist, by way of `postgres`, which always does. */
export async function ensureDatabase(address: DatabaseAddress): Promise<void> {
  const url = new URL(address.url);
  const name = decodeURIComponent(url.pathname.slice(1));
  const exists = await connected(address, async () => Promise.resolve(true)).catch((error: unknown) => {
    if ((error as { code?: unknown }).code === invalidCatalogName) return false;
    throw error;
  });
  if (exists) return;
  url.pathname = '/postgres';
  await connected({ ...address, url: url.href }, async (client) => {
    await client.query(`create database ${client.escapeIdentifier(name)}`);
  }).catch((error: unknown) => {
    if ((error as { code?: unknown }).code !== duplicateDatabase) throw error;
  });
}

/** Gives a user the rows of all tables, of those too that later migrations make. */
export async function grantRows(address: DatabaseAddress, user: string): Promise<void> {
  await connected(address, async (client) => {
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

async function connected<T>(address: DatabaseAddress, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ ...connectionOptions(address), connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined); // the query that meets it says so
  try {
    await client.connect();
    return await use(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
