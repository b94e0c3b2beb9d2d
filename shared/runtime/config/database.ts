/**
 * Address of the database: `DATABASE_URL`, or its parts as Secret Manager and AlloyDB provide them:
 *
 *   DATABASE_HOST · DATABASE_PORT · DATABASE_NAME · ALLOY_DB_USER · ALLOY_DB_PASS   (the last two also as …_FILE)
 *   DATABASE_AUTH   password, or iam: an access token of the service account instead of a password
 *   DATABASE_SSL    disable · require (encrypted; verified if DATABASE_SSL_CA is set, as psql does) · verify-ca
 *
 * AlloyDB's certificates do not contain a host name, so it cannot be verified.
 */
import type { EnvReader } from './env-reader.ts';

export interface DatabaseAddress {
  url: string;
  /** Uses an access token of the service account as the password. */
  iam?: boolean;
  /** Overrides the parameters of the URL. */
  ssl?: DatabaseSsl;
}

export type DatabaseSsl = { mode: 'disable' } | { mode: 'require' } | { mode: 'verify-ca'; ca: string };

export interface DatabaseConfig extends DatabaseAddress {
  poolSize: number;
  /** Connections of all services at their maximum scale; 0 if not configured. */
  plannedConnections: number;
}

/** The services that have a user of the database each. */
export const databaseServices = ['api', 'worker', 'dispatcher'] as const;
export type DatabaseService = (typeof databaseServices)[number];

/** The user of each service, which may be the same for several. */
export type ServiceUsers = Readonly<Record<DatabaseService, string>>;

/** Names of this machine. Traffic to them does not cross a network. */
export const loopback: ReadonlySet<string> = new Set(['127.0.0.1', '[::1]', 'localhost']);

export function readDatabase(reader: EnvReader): DatabaseConfig {
  const address = readAddress(reader);
  return {
    ...address,
    poolSize: reader.number('DATABASE_POOL_SIZE', 10, { min: 2, max: 500 }),
    plannedConnections: reader.number('DATABASE_PLANNED_CONNECTIONS', 0, { min: 0, max: 1_000_000 }),
  };
}

export function readAddress(reader: EnvReader): DatabaseAddress {
  const iam = reader.oneOf('DATABASE_AUTH', ['password', 'iam'], 'password') === 'iam';
  const fullUrl = reader.secret('DATABASE_URL');
  const hasParts = reader.optional('DATABASE_HOST') !== undefined;
  if (fullUrl !== undefined && hasParts) {
    reader.problem('DATABASE_URL and DATABASE_HOST are both set: remove one');
  }
  if (fullUrl === undefined && !hasParts) {
    reader.problem('neither DATABASE_URL nor DATABASE_HOST is set');
    return { url: '' };
  }
  const url = fullUrl ?? joinParts(reader, iam);
  if (!URL.canParse(url) || !/^postgres(ql)?:$/.test(new URL(url).protocol)) {
    reader.problem('DATABASE_URL must be a URL that starts with postgres:// or postgresql://');
    return { url: '' };
  }
  // AlloyDB is configured by parts, and rejects unencrypted connections.
  const ssl = readSsl(reader, fullUrl === undefined ? 'require' : undefined);
  if (iam) checkIam(reader, new URL(url), ssl);
  return { url, ...(iam && { iam }), ...(ssl !== undefined && { ssl }) };
}

function joinParts(reader: EnvReader, iam: boolean): string {
  const host = reader.string('DATABASE_HOST');
  const port = reader.number('DATABASE_PORT', 5432, { min: 1, max: 65_535 });
  const name = reader.string('DATABASE_NAME', 'longhaul');
  const user = required(reader, 'ALLOY_DB_USER');
  const password = iam ? undefined : required(reader, 'ALLOY_DB_PASS');
  const login = [user, ...(password === undefined ? [] : [password])].map(encodeURIComponent).join(':');
  return `postgres://${login}@${host.includes(':') ? `[${host}]` : host}:${port}/${encodeURIComponent(name)}`;
}

function required(reader: EnvReader, name: string): string {
  const value = reader.secret(name);
  if (value === undefined) reader.problem(`neither ${name} nor ${name}_FILE is set`);
  return value ?? '';
}

function readSsl(reader: EnvReader, fallback: 'require' | undefined): DatabaseSsl | undefined {
  if (reader.optional('DATABASE_SSL') === undefined && fallback === undefined) return undefined;
  const mode = reader.oneOf('DATABASE_SSL', ['disable', 'require', 'verify-ca'], 'require');
  const authority = mode === 'disable' ? undefined : reader.secret('DATABASE_SSL_CA');
  if (mode === 'disable' || (mode === 'require' && authority === undefined)) return { mode };
  const ca = authority ?? '';
  if (!ca.includes('-----BEGIN CERTIFICATE-----')) {
    reader.problem(
      `DATABASE_SSL=${mode} needs a PEM certificate authority in DATABASE_SSL_CA or DATABASE_SSL_CA_FILE`,
    );
  }
  return { mode: 'verify-ca', ca };
}

function checkIam(reader: EnvReader, url: URL, ssl: DatabaseSsl | undefined): void {
  if (url.username === '') reader.problem('DATABASE_AUTH=iam needs a user in DATABASE_URL or ALLOY_DB_USER');
  if (url.password !== '') {
    reader.problem('DATABASE_AUTH=iam uses a token as the password: remove the password from DATABASE_URL');
  }
  if (url.search !== '') {
    reader.problem(
      'DATABASE_AUTH=iam does not allow parameters in DATABASE_URL: set DATABASE_SSL instead of sslmode',
    );
  }
  const encrypted = ssl !== undefined && ssl.mode !== 'disable';
  if (!encrypted && !loopback.has(url.hostname)) {
    reader.problem(
      'DATABASE_AUTH=iam sends a token: DATABASE_SSL must be require or verify-ca, unless the host is this machine (Auth Proxy)',
    );
  }
}
