/** The two systems that are compared: one works on a database with few tasks, the other on one with very many. */
import { createHash } from 'node:crypto';
import type { Pool } from 'pg';
import type { Db } from '#shared/db/client/pool.ts';
import { openTestPool } from '../../../../support/database/postgres.ts';
import { createCleanup } from '../../../../support/cleanup.ts';
import { withRig, type Rig } from '../../rig.ts';
import { getAddress } from '../../webhook-load.ts';
import { largeOwner, smallOwner } from './preload/seed.ts';
import { templateOwner } from './preload/templates.ts';

export interface Side {
  readonly name: 'few' | 'many';
  readonly rig: Rig;
  /** A pool such as one process of a service has. */
  readonly db: Db;
  readonly pool: Pool;
  /** Set once the api runs. */
  apiUrl: string;
}

const getKey = (owner: string): string => `key-of-${owner}`;

/** The headers of a caller's JSON-RPC requests. */
export function createHeaders(owner: string): Record<string, string> {
  return { 'content-type': 'application/json', 'a2a-version': '1.0', 'x-api-key': getKey(owner) };
}

const unlimited = [
  'RATE_LIMIT_PER_MINUTE',
  'RATE_LIMIT_BYTES_PER_SECOND',
  'WEBHOOK_REQUESTS_PER_MINUTE',
  'OWNER_MAX_OPEN_TASKS',
  'OWNER_MAX_STORED_BYTES',
  'OWNER_MAX_WEBHOOK_CONFIGS',
  'OWNER_MAX_WEBHOOK_BYTES_PER_HOUR',
];

/** Callers with keys, no limits, and keys for secrets that fit those of an earlier run. */
export const environment: Record<string, string> = {
  AUTH_MODES: 'api-key',
  API_KEYS: [templateOwner, largeOwner, smallOwner]
    .map(
      (owner) => `${owner.replace(/^key:/, '')}:${createHash('sha256').update(getKey(owner)).digest('hex')}`,
    )
    .join(),
  ENCRYPTION_KEYS: `bench:${Buffer.alloc(32, 'bench').toString('base64')}`,
  WEBHOOK_ALLOW_HOSTS: `127.0.0.1,${getAddress(0)}`,
  WORKER_OWNER_SHARE: '1',
  ...Object.fromEntries(unlimited.map((name) => [name, '0'])),
};

export async function withSides<T>(
  urls: Record<Side['name'], string>,
  run: (sides: readonly [few: Side, many: Side]) => Promise<T>,
): Promise<T> {
  const cleanup = createCleanup();
  const create = (name: Side['name'], rig: Rig): Side => {
    const { db, pool } = openTestPool(urls[name]);
    cleanup.after(() => db.destroy());
    return { name, rig, db, pool, apiUrl: '' };
  };
  const start = (name: Side['name'], use: (rig: Rig) => Promise<T>) =>
    withRig(use, { ...environment, DATABASE_URL: urls[name] });
  try {
    return await start('few', (few) =>
      start('many', (many) => run([create('few', few), create('many', many)])),
    );
  } finally {
    await cleanup.run();
  }
}
