/**
 * The agent card for clients that do not name a version: valid as A2A 1.0 and as 0.3, with the fields of
 * both. Clients that name 1.0 receive the card of 1.0 only. Its first signature covers all of its fields, and
 * the second those of 1.0, for clients that drop what they do not know.
 */
import { AgentCard } from '@a2a-js/sdk';
import { LegacyRestTransportHandler } from '@a2a-js/sdk/compat/v0_3/server';
import { ServerCallContext, type A2ARequestHandler } from '@a2a-js/sdk/server';
import type { CardSigner } from './signature.ts';

type Json = Readonly<Record<string, unknown>>;

export async function toDualVersionCard(card: AgentCard, sign: CardSigner['signJson']): Promise<object> {
  // The SDK translates cards only in the response of a handler.
  const source: Pick<A2ARequestHandler, 'getAuthenticatedExtendedAgentCard'> = {
    getAuthenticatedExtendedAgentCard: () => Promise.resolve(card),
  };
  const translator = new LegacyRestTransportHandler(source as A2ARequestHandler);
  const v03 = await translator.getAuthenticatedExtendedAgentCard(new ServerCallContext());
  const { signatures = [], ...merged } = merge({ ...v03 }, AgentCard.toJSON(card) as Json);
  const signature = await sign(merged);
  return signature === undefined
    ? merged
    : { ...merged, signatures: [signature, ...(signatures as object[])] };
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
