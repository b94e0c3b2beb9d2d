/**
 * Connections for the statements that one owner causes. Statements for many owners at once (batcher.ts) and those of the
 * process itself take any free connection. Those of a single request take turns: owners share half of the pool, and one
 * owner gets half of that. Otherwise an owner with many requests at once, or with requests that wait for each other's row
 * locks, would hold every connection.
 */
import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from 'kysely';
import { FairLanes } from '../../runtime/fair-lanes.ts';
import type { Database } from '../schema/schema.ts';

type Db = Kysely<Database>;

/** Owners of a process with a larger pool share no more. */
const maxLanes = 8;

const views = new WeakMap<Db, (owner: string) => Db>();

/**
 * Returns the database for the statements of an owner. Nothing that holds one of its connections may wait for another one.
 *
 * @param db of `openDatabase`. Any other is returned unchanged
 */
export function forOwner(db: Db, owner: string): Db {
  return views.get(db)?.(owner) ?? db;
}

/** Lets owners take turns for the connections of a pool. */
export function shareConnections(db: Db, pool: PostgresPool, poolSize: number): void {
  const lanes = new FairLanes(Math.min(Math.max(1, Math.floor(poolSize / 2)), maxLanes));
  const connect = (owner: string): Promise<PostgresPoolClient> => {
    const connected = Promise.withResolvers<PostgresPoolClient>();
    const run = async (): Promise<void> => {
      const client = await pool.connect();
      const released = Promise.withResolvers<void>();
      connected.resolve({
        query: client.query,
        release: (destroy) => {
          client.release(destroy);
          released.resolve();
        },
      });
      await released.promise;
    };
    lanes.run(owner, run).catch(connected.reject);
    return connected.promise;
  };
  views.set(
    db,
    (owner) =>
      new Kysely<Database>({
        dialect: new PostgresDialect({ pool: { ...pool, connect: () => connect(owner) } }),
      }),
  );
}
