/** A database's address as the options of `pg`: for pools, and for the one connection that listens. */
import type { ClientConfig } from 'pg';
import { createDatabaseToken } from '../../gcp/database-token.ts';
import type { DatabaseAddress, DatabaseSsl } from '../../runtime/config/database.ts';

export function connectionOptions(address: DatabaseAddress): ClientConfig {
  const ssl = address.ssl === undefined ? {} : { ssl: tlsOptions(address.ssl) };
  if (address.iam !== true) return { connectionString: address.url, ...ssl };
  // In parts: what a connection string says, be it nothing, counts before the other options.
  const url = new URL(address.url);
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username),
    database: decodeURIComponent(url.pathname.slice(1)),
    password: createDatabaseToken(),
    ...ssl,
  };
}

function tlsOptions(ssl: DatabaseSsl): ClientConfig['ssl'] {
  if (ssl.mode === 'disable') return false;
  if (ssl.mode === 'require') return { rejectUnauthorized: false };
  return { ca: ssl.ca, rejectUnauthorized: true, checkServerIdentity: () => undefined };
}
