/** Configuration of the tools that operators run: migrations and `npm run admin`. */
import type { EncryptionKeys } from '../../crypto/encryption.ts';
import type { OwnerLimits } from '../../domain/owner-limits.ts';
import { readAgent, readEncryptionKeys, type AgentConfig } from './common.ts';
import {
  databaseServices,
  readAddress,
  readDatabase,
  type DatabaseAddress,
  type DatabaseConfig,
  type ServiceUsers,
} from './database.ts';
import { readContents, type ContentsConfig } from './contents.ts';
import { EnvReader, type Environment } from './env-reader.ts';
import { environment } from './environment.ts';
import { readOwnerLimits } from './owner-limits.ts';

export interface MigrateConfig {
  address: DatabaseAddress;
  /** Creates the database if it does not exist. */
  create: boolean;
  /** The users that are granted the rights of the services; undefined: all services connect as the owner of the tables. */
  grantTo: ServiceUsers | undefined;
  /** The agent whose definition is stored. */
  agent: AgentConfig;
  /** Asked at the end with POST, so that the AlloyDB Auth Proxy next to the job stops; undefined: there is none. */
  authProxyQuitUrl: string | undefined;
}

export function readMigrateConfig(env: Environment = environment): MigrateConfig {
  const reader = new EnvReader(env);
  const config = {
    address: readAddress(reader),
    create: reader.flag('DATABASE_CREATE', false),
    grantTo: readServiceUsers(reader),
    agent: readAgent(reader),
    authProxyQuitUrl: reader.optional('AUTH_PROXY_QUIT_URL'),
  };
  reader.check();
  return config;
}

function readServiceUsers(reader: EnvReader): ServiceUsers | undefined {
  const text = reader.secret('DATABASE_GRANT_TO');
  if (text === undefined) return undefined;
  const entries = text.split(',').map((entry) => /^\s*(\w+):(\S+)\s*$/.exec(entry)?.slice(1) ?? []);
  const users = Object.fromEntries(entries) as Record<string, string>;
  const { api, worker, dispatcher } = users;
  const isComplete = api !== undefined && worker !== undefined && dispatcher !== undefined;
  if (isComplete && entries.length === databaseServices.length) return { api, worker, dispatcher };
  reader.problem(
    'DATABASE_GRANT_TO must list a user for each service, such as api:longhaul-api,worker:longhaul-worker,dispatcher:longhaul-dispatcher',
  );
  return undefined;
}

export interface AdminConfig {
  database: DatabaseConfig;
  /** A path, or stdout. */
  auditLog: string;
  contents: ContentsConfig;
  /** The same as for migrations, in whose job a command may run. */
  authProxyQuitUrl: string | undefined;
}

export function readAdminConfig(env: Environment = environment): AdminConfig {
  const reader = new EnvReader(env);
  const config = {
    database: readDatabase(reader),
    auditLog: reader.string('AUDIT_LOG', 'stdout'),
    contents: readContents(reader),
    authProxyQuitUrl: reader.optional('AUTH_PROXY_QUIT_URL'),
  };
  reader.check();
  return config;
}

export function readEncryptionConfig(env: Environment = environment): { encryptionKeys: EncryptionKeys } {
  const reader = new EnvReader(env);
  const config = { encryptionKeys: readEncryptionKeys(reader) };
  reader.check();
  return config;
}

/** The default limits of owners. */
export function readLimitsConfig(env: Environment = environment): OwnerLimits {
  const reader = new EnvReader(env);
  const limits = readOwnerLimits(reader);
  reader.check();
  return limits;
}
