/**
 * The agent card for clients that do not name a version: valid as A2A 1.0 and as 0.3, with the fields of
 * both. Clients that name 1.0 receive the card of 1.0 only.
 */
import { AgentCard } from '@a2a-js/sdk';
import { LegacyRestTransportHandler } from '@a2a-js/sdk/compat/v0_3/server';
import { ServerCallContext, type A2ARequestHandler } from '@a2a-js/sdk/server';

type Json = Readonly<Record<string, unknown>>;

export async function toDualVersionCard(card: AgentCard): Promise<object> {
  // The SDK translates cards only in the response of a handler.
  const source: Pick<A2ARequestHandler, 'getAuthenticatedExtendedAgentCard'> = {
    getAuthenticatedExtendedAgentCard: () => Promise.resolve(card),
  };
  const translator = new LegacyRestTransportHandler(source as A2ARequestHandler);
  const v03 = await translator.getAuthenticatedExtendedAgentCard(new ServerCallContext());
  return merge({ ...v03 }, AgentCard.toJSON(card) as Json);
}

/** Merges deeply. Values of `second` take precedence, and lists are not combined. */
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
