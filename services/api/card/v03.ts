/**
 * The agent card for clients that name no version. It is read as A2A 1.0 and as 0.3: what either has stands in it, and
 * they differ in names only. (Clients that name 1.0 are given the card of 1.0 alone.)
 */
import { AgentCard } from '@a2a-js/sdk';
import { LegacyRestTransportHandler } from '@a2a-js/sdk/compat/v0_3/server';
import { ServerCallContext, type A2ARequestHandler } from '@a2a-js/sdk/server';

type Json = Readonly<Record<string, unknown>>;

export async function toDualVersionCard(card: AgentCard): Promise<object> {
  // The SDK translates a card only on its way out of a handler.
  const source: Pick<A2ARequestHandler, 'getAuthenticatedExtendedAgentCard'> = {
    getAuthenticatedExtendedAgentCard: () => Promise.resolve(card),
  };
  const translator = new LegacyRestTransportHandler(source as A2ARequestHandler);
  const legacy = await translator.getAuthenticatedExtendedAgentCard(new ServerCallContext());
  return merge({ ...legacy }, AgentCard.toJSON(card) as Json);
}

/** Both, and the second where they differ; lists are not mixed. */
function merge(first: Json, second: Json): Json {
  const merged: Record<string, unknown> = { ...first };
  for (const [key, value] of Object.entries(second)) {
    const other = first[key];
    merged[key] = isObject(other) && isObject(value) ? merge(other, value) : value;
  }
  return merged;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
