/**
 * Agent definitions, stored by the hash of their content. A task keeps the definition that it started with.
 */
import { sql } from 'kysely';
import type { JsonObject } from '../../domain/message.ts';
import type { Db } from '../client/pool.ts';

/** Stores a definition for the tasks that start with it. Schedules use the one that was stored last. */
export async function storeAgent(db: Db, hash: string, definition: JsonObject): Promise<void> {
  await db
    .insertInto('agents')
    .values({ hash, definition: JSON.stringify(definition) })
    .onConflict((conflict) => conflict.column('hash').doUpdateSet({ used_at: sql`now()` }))
    .execute();
}

const maxCached = 100;

/** Reads definitions through a cache, so that tasks share one object. Returns `{}` for an unknown hash. */
export function createAgentReader(db: Db): (hash: string) => Promise<JsonObject> {
  const cache = new Map<string, JsonObject>();
  return async (hash) => {
    const cached = cache.get(hash);
    if (cached !== undefined) return cached;
    const row = await db
      .selectFrom('agents')
      .select('definition')
      .where('hash', '=', hash)
      .executeTakeFirst();
    if (row === undefined) return {};
    if (cache.size >= maxCached) cache.clear();
    cache.set(hash, row.definition);
    return row.definition;
  };
}
