/** Looks for the card of the agent behind a gateway, which workers store (worker/agent/gateway/card.ts). */
import { definitionHash, type AgentDefinition } from '#shared/agent/definition.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { readUpstreamCard } from '#shared/db/tasks/agents.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';

/** Until the first card is found, and afterwards. */
const retryMs = 1_000;
const refreshMs = 15_000;

/** Does nothing if the definition is not that of a gateway. */
export function startCardRefresh(parts: {
  db: Db;
  definition: AgentDefinition;
  refresh: (upstream: JsonObject) => Promise<void>;
  log: Logger;
}): { close: () => void } {
  const { db, definition, refresh, log } = parts;
  if (definition.a2a === undefined) return { close: () => undefined };
  const hash = definitionHash(definition);
  let shown: string | undefined;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  async function look(): Promise<void> {
    try {
      const card = await readUpstreamCard(db, hash);
      const text = JSON.stringify(card);
      if (card !== undefined && text !== shown) await refresh(card);
      shown = text ?? shown;
    } catch (error) {
      log.debug({ error: errorMessage(error) }, 'card of the agent behind the gateway not read');
    }
    if (closed) return;
    // Jitter avoids synchronised reads of the processes.
    const ms = (shown === undefined ? retryMs : refreshMs) * (0.75 + Math.random() / 2);
    timer = setTimeout(() => void look(), ms).unref();
  }

  void look();
  return {
    close: () => {
      closed = true;
      clearTimeout(timer);
    },
  };
}
