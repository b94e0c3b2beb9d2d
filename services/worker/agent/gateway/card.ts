/**
 * Keeps the card of the agent behind a gateway in the database, from which the api merges it into ours. Until it was read
 * once, it is tried every few seconds; while the agent is away later, the last card stays.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { definitionHash, type AgentDefinition } from '#shared/agent/definition.ts';
import { toRemoteAgent, upstreamName } from '#shared/agent/gateway.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { storeUpstreamCard } from '#shared/db/tasks/agents.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { RemoteAgents } from '../remote/agent.ts';

/** Before the first card is stored, and afterwards. The connection reads a card again after five minutes. */
const retryMs = 2_000;
const refreshMs = 60_000;

export interface CardReader {
  close(): Promise<void>;
}

/** Does nothing if the definition is not that of a gateway. */
export function startCardReader(parts: {
  db: Db;
  definition: AgentDefinition | undefined;
  remote: RemoteAgents;
  log: Logger;
}): CardReader {
  const { db, definition, remote, log } = parts;
  if (definition?.a2a === undefined) return { close: () => Promise.resolve() };
  const hash = definitionHash(definition);
  const upstream = toRemoteAgent(definition.a2a);
  const stop = new AbortController();
  const { signal } = stop;
  let problem: string | undefined;

  async function store(): Promise<boolean> {
    try {
      const agent = await remote.open(upstreamName, upstream);
      const stored = await storeUpstreamCard(db, hash, await agent.readCard(signal));
      if (stored && problem !== undefined) log.info('card of the agent behind the gateway read again');
      problem = undefined;
      return stored;
    } catch (error) {
      if (signal.aborted) return false;
      const reason = errorMessage(error);
      if (reason !== problem) log.warn({ reason }, 'card of the agent behind the gateway not read');
      problem = reason;
      return false;
    }
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      const ms = (await store()) ? refreshMs : retryMs;
      // Jitter avoids synchronised reads of the workers.
      const jittered = ms * (0.75 + Math.random() / 2);
      await sleep(jittered, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  const running = run();
  return {
    close: async () => {
      stop.abort();
      await running;
    },
  };
}
