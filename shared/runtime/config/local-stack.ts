/** How commands find the database of `npm start`: a file in its data directory, which only its user can read. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Environment } from './env-reader.ts';

const variables = ['DATABASE_URL', 'ENCRYPTION_KEYS'] as const;
const fileName = 'stack.json';

/** The data directory, if `DATA_DIR` names no other. */
export const defaultDataDir = '.longhaul';

export function writeLocalStack(dataDir: string, stack: Environment): void {
  const known = Object.fromEntries(variables.map((name) => [name, stack[name]]));
  writeFileSync(path.join(dataDir, fileName), `${JSON.stringify(known)}\n`, { mode: 0o600 });
}

/** Adds the variables of the stack that was started last, unless the environment names a database. */
export function withLocalStack(env: Environment): Environment {
  if (env['DATABASE_URL'] || env['DATABASE_URL_FILE'] || env['DATABASE_HOST']) return env;
  try {
    const text = readFileSync(path.join(env['DATA_DIR'] || defaultDataDir, fileName), 'utf8');
    return { ...(JSON.parse(text) as Environment), ...env };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return env;
    throw error;
  }
}
