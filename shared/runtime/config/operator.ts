/** Configuration of the tools that operators run: migrations and `npm run admin`. */
import type { EncryptionKeys } from '../../crypto/encryption.ts';
import type { OwnerLimits } from '../../domain/owner-limits.ts';
import { readEncryptionKeys } from './common.ts';
import { readAddress, readDatabase, type DatabaseAddress, type DatabaseConfig } from './database.ts';
import { EnvReader, type Environment } from './env-reader.ts';
import { environment } from './environment.ts';
import { readOwnerLimits } from './owner-limits.ts';

export interface MigrateConfig {
  address: DatabaseAddress;
  /** Creates the database if it does not exist. */
  create: boolean;
  /** User that is granted the right to read and write rows. */
  grantTo: string | undefined;
}

export function readMigrateConfig(env: Environment = environment): MigrateConfig {
  const reader = new EnvReader(env);
  const config = {
    address: readAddress(reader),
    create: reader.flag('DATABASE_CREATE', false),
    grantTo: reader.secret('DATABASE_GRANT_TO'),
  };
  reader.check();
  return config;
}

export function readAdminConfig(env: Environment = environment): { database: DatabaseConfig } {
  const reader = new EnvReader(env);
  const config = { database: readDatabase(reader) };
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
