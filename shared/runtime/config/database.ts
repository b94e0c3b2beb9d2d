/**
 * How a service reaches its database: `DATABASE_URL` whole, or its parts, as Secret Manager and AlloyDB give them:
 *
 *   DATABASE_HOST · DATABASE_PORT · DATABASE_NAME · ALLOY_DB_USER · ALLOY_DB_PASS     (each of the last two also as …_FILE)
 *   DATABASE_AUTH   password, or iam: an access token of the service account in place of a password
 *   DATABASE_SSL    disable · require (encrypted, whoever answers) · verify-ca (signed by DATABASE_SSL_CA)
 *
 * AlloyDB's certificates name no host, so that a full verification of the name has nothing to verify.
 */
import type { EnvReader } from './env-reader.ts';

export interface DatabaseAddress {
  url: string;
  /** A token of the service account in place of the password in the URL. */
  iam?: boolean;
  /** What the URL says, unless it stands here. */
  ssl?: DatabaseSsl;
}

export type DatabaseSsl = { mode: 'disable' } | { mode: 'require' } | { mode: 'verify-ca'; ca: string };

export interface DatabaseConfig extends DatabaseAddress {
  poolSize: number;
  /** Connections of all instances of all services at their most; 0 where nobody has added them up. */
  plannedConnections: number;
}

/** Names of this machine: what goes there leaves nothing readable on a network. */
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
  const whole = reader.secret('DATABASE_URL');
  const parts = reader.optional('DATABASE_HOST') !== undefined;
  if (whole !== undefined && parts) {
    reader.problem('DATABASE_URL and DATABASE_HOST are both set: give the address whole or in parts');
  }
  if (whole === undefined && !parts) {
    reader.problem('DATABASE_URL is not set, and neither is DATABASE_HOST with its parts');
    return { url: '' };
  }
  const url = whole ?? joinParts(reader, iam);
  if (!URL.canParse(url) || !/^postgres(ql)?:$/.test(new URL(url).protocol)) {
    reader.problem('DATABASE_URL must be a URL that begins with postgres:// or postgresql://');
    return { url: '' };
  }
  // Parts are how AlloyDB is configured, and AlloyDB refuses what is not encrypted.
  const ssl = readSsl(reader, whole === undefined ? 'require' : undefined);
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
  if (value === undefined) reader.problem(`${name} is not set, and neither is ${name}_FILE`);
  return value ?? '';
}

function readSsl(reader: EnvReader, fallback: 'require' | undefined): DatabaseSsl | undefined {
  if (reader.optional('DATABASE_SSL') === undefined && fallback === undefined) return undefined;
  const mode = reader.oneOf('DATABASE_SSL', ['disable', 'require', 'verify-ca'], 'require');
  if (mode !== 'verify-ca') return { mode };
  const ca = reader.secret('DATABASE_SSL_CA') ?? '';
  if (!ca.includes('-----BEGIN CERTIFICATE-----')) {
    reader.problem(
      'DATABASE_SSL=verify-ca needs the certificate of the authority, in PEM, in DATABASE_SSL_CA or DATABASE_SSL_CA_FILE',
    );
  }
  return { mode, ca };
}

function checkIam(reader: EnvReader, url: URL, ssl: DatabaseSsl | undefined): void {
  if (url.username === '') reader.problem('DATABASE_AUTH=iam needs a user in DATABASE_URL or ALLOY_DB_USER');
  if (url.password !== '') {
    reader.problem('DATABASE_AUTH=iam takes a token as password: leave the password out of DATABASE_URL');
  }
  if (url.search !== '') {
    reader.problem(
      'DATABASE_AUTH=iam takes no parameters in DATABASE_URL: set DATABASE_SSL instead of sslmode',
    );
  }
  const encrypted = ssl !== undefined && ssl.mode !== 'disable';
  if (!encrypted && !loopback.has(url.hostname)) {
    reader.problem(
      'DATABASE_AUTH=iam sends a token: set DATABASE_SSL to require or verify-ca, unless the host is this machine (the Auth Proxy)',
    );
  }
}
