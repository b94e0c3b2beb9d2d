/**
 * Agent definitions, stored by the hash of their content. A task keeps the definition that it started with. Workers and the
 * migration store the definition of their own file. The api stores its own only if it connects as the owner of the tables
 * (schema/grants.ts): otherwise it waits until it is stored.
 */
import { sql } from 'kysely';
import { definitionHash } from '../../agent/definition.ts';
import { findDefinition, type AgentSource } from '../../agent/load-definition.ts';
import type { JsonObject } from '../../domain/message.ts';
import { NotReadyError } from '../../runtime/health.ts';
import { isPermissionDenied } from '../client/errors.ts';
import type { Db } from '../client/pool.ts';

/**
 * Makes sure that a definition is stored, and marks it as the one of new tasks: schedules use the one that was marked last.
 *
 * @throws {NotReadyError} if it is not, and this process may not store it
 */
export async function storeAgent(db: Db, hash: string, definition: JsonObject): Promise<void> {
  const marked = await db
    .updateTable('agents')
    .set({ used_at: sql`now()` })
    .where('hash', '=', hash)
    .executeTakeFirst();
  if (marked.numUpdatedRows > 0n) return;
  await db
    .insertInto('agents')
    .values({ hash, definition: JSON.stringify(definition) })
    .onConflict((conflict) => conflict.column('hash').doUpdateSet({ used_at: sql`now()` }))
    .execute()
    .catch((error: unknown) => {
      if (!isPermissionDenied(error)) throw error;
      throw new NotReadyError(
        'definition_missing',
        'the definition of the agent is not stored: start a worker with the same AGENT_FILE, or run the migration with it',
      );
    });
}

/** Stores the definition of this process, if it has one and it is not stored. @throws {DefinitionError} if it is not valid */
export async function storeOwnAgent(db: Db, source: AgentSource): Promise<void> {
  const definition = await findDefinition(source);
  if (definition === undefined) return;
  await db
    .insertInto('agents')
    .values({
      hash: definitionHash(definition),
      definition: JSON.stringify(definition),
      used_at: new Date(0),
    })
    .onConflict((conflict) => conflict.column('hash').doNothing())
    .execute();
}

/** Stores the card of the agent behind a gateway. Returns false if its definition is not stored yet. */
export async function storeUpstreamCard(db: Db, hash: string, card: JsonObject): Promise<boolean> {
  const text = JSON.stringify(card);
  const { rows } = await sql<{ found: boolean }>`
    with stored as (select card::text from agents where hash = ${hash}),
      changed as (
        update agents set card = ${text}::json from stored
        where hash = ${hash} and stored.card is distinct from ${text}
      )
    select true as found from stored`.execute(db);
  return rows.length > 0;
}

/** Returns the last card that a worker has read of the agent behind a gateway; undefined: none has. */
export async function readUpstreamCard(db: Db, hash: string): Promise<JsonObject | undefined> {
  const row = await db.selectFrom('agents').select('card').where('hash', '=', hash).executeTakeFirst();
  return row?.card ?? undefined;
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
