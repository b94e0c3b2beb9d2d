/**
 * The agent that new tasks begin with: its definition is stored under its hash before the first of them is accepted.
 * A front door that starts while the database is away stores it later: each who asks tries until it is done.
 */
import { definitionHash, type AgentDefinition } from '#shared/agent/definition.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { storeAgent } from '#shared/db/tasks/agents.ts';
import type { JsonObject } from '#shared/domain/message.ts';

/** Resolves to the hash; rejects with what the database says. */
export type StoredAgent = () => Promise<string>;

export function createStoredAgent(db: Db, definition: AgentDefinition): StoredAgent {
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
