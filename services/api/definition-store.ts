/** Stores the definition of the agent with which new tasks run. */
import { definitionHash, type AgentDefinition } from '#shared/agent/definition.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { storeAgent } from '#shared/db/tasks/agents.ts';
import type { JsonObject } from '#shared/domain/message.ts';

/**
 * Returns a function that stores the definition for new tasks under its hash and resolves to the hash. A
 * failure is not cached: if the database is unavailable at the start, the next call tries again.
 */
export function createDefinitionStore(db: Db, definition: AgentDefinition): () => Promise<string> {
  const hash = definitionHash(definition);
  let stored: Promise<string> | undefined;
  return () =>
    (stored ??= storeAgent(db, hash, definition as JsonObject).then(
      () => hash,
      (error: unknown) => {
        stored = undefined;
        throw error;
      },
    ));
}
