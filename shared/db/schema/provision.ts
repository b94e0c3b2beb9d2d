/**
 * Sets up a database around its migrations: creates it, and grants the users of the services their rights. For deployments
 * whose services do not connect as the owner of the schema.
 */
import { Client } from 'pg';
import { databaseServices, type DatabaseAddress, type ServiceUsers } from '../../runtime/config/database.ts';
import { toConnectionOptions } from '../client/pool.ts';
import { listGrants } from './grants.ts';

const duplicateDatabase = '42P04';
const invalidCatalogName = '3D000';
const duplicateObject = '42710';

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

/**
 * Grants the users of services what grants.ts lists, and revokes the rest. A user that does not exist is created without the
 * right to log in: a role that others take.
 */
export async function grantTables(address: DatabaseAddress, users: ServiceUsers): Promise<void> {
  await withClient(address, async (client) => {
    for (const user of new Set(Object.values(users))) {
      const services = databaseServices.filter((service) => users[service] === user);
      const role = client.escapeIdentifier(user);
      // PostgreSQL logs a failed statement as an error, and refuses it without the right to create roles.
      const { rowCount } = await client.query('select from pg_roles where rolname = $1', [user]);
      if (rowCount === 0) {
        await client.query(`create role ${role} nologin`).catch((error: unknown) => {
          if ((error as { code?: unknown }).code !== duplicateObject) throw error;
        });
      }
      await client.query(`begin; ${listGrants(services, role).join('; ')}; commit`);
    }
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
