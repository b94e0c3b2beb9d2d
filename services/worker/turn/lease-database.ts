/**
 * Connections for heartbeats and leases alone. Statements of turns wait for a silent database for ten seconds, and may use up
 * their pool. A lease must be extended as soon as the database answers again.
 */
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import type { DatabaseConfig } from '#shared/runtime/config/database.ts';

const ownConnections = 2;
/** Shorter than `holdersFirstMs`, so that a holder extends its leases before others may take them over. */
const limitMs = 2_500;

/** Takes two of the process's connections for leases if it has six or more. */
export function openLeaseDatabase(config: DatabaseConfig): {
  /** Undefined: the process has too few connections. */
  leaseDb: Db | undefined;
  /** Connections that are left. */
  poolSize: number;
  close: () => Promise<void>;
} {
  const { poolSize } = config;
  if (poolSize < 3 * ownConnections) return { leaseDb: undefined, poolSize, close: async () => undefined };
  const { db, pool } = openDatabase({
    database: { ...config, poolSize: ownConnections },
    queryTimeoutMs: limitMs,
    connectTimeoutMs: limitMs,
    applicationName: 'longhaul-worker',
  });
  return { leaseDb: db, poolSize: poolSize - ownConnections, close: () => pool.end() };
}
