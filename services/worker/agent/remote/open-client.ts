/**
 * Reads the card of another agent, and opens a client of its best binding: A2A 1.0 before 0.3, otherwise in the order of
 * the card. Messages and credentials go to one origin; over gRPC, to its host.
 */
import type { AgentCard, AgentInterface } from '@a2a-js/sdk';
import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
  type Client,
} from '@a2a-js/sdk/client';
import type { Fetch } from '../fetch.ts';
import { RefusedError } from './agent.ts';
import { toUnavailable } from './fetch.ts';

/** The longest read of a card. */
const cardMs = 30_000;
const legacyCompat = { enabled: true };

export interface AgentAddress {
  /** In the definition. */
  name: string;
  cardUrl: URL;
  /** The only one that gets credentials and messages. */
  origin: string;
  fetch: Fetch;
}

/** @throws {RefusedError} if the card is not valid, or has no address at the origin */
export async function readCard({ name, cardUrl, fetch }: AgentAddress): Promise<AgentCard> {
  const signal = AbortSignal.timeout(cardMs);
  let card: unknown;
  try {
    const response = await fetch(cardUrl, { headers: { accept: 'application/json' }, signal });
    if (!response.ok) {
      throw new RefusedError(
        `The card of the agent "${name}" cannot be read: ${cardUrl.href} answers with status ${response.status}.`,
      );
    }
    card = await response.json();
  } catch (error) {
    throw signal.aborted ? toUnavailable(name, error) : error;
  }
  if (typeof card !== 'object' || card === null)
    throw new RefusedError(`The card of the agent "${name}" is not a JSON object.`);
  return new DefaultAgentCardResolver({ fetchImpl: fetch, legacyCompat }).normalizeAgentCard(card);
}

/** @throws {RefusedError} if the card has no address at the origin */
export async function openClient(
  address: AgentAddress,
  whole: AgentCard,
): Promise<{ client: Client; card: AgentCard }> {
  const card = keepOwnAddresses(address, whole);
  const fetchImpl = address.fetch;
  const usesGrpc = card.supportedInterfaces.some(isGrpc);
  const client = await new ClientFactory({
    transports: [
      new JsonRpcTransportFactory({ fetchImpl, legacyCompat }),
      new RestTransportFactory({ fetchImpl, legacyCompat }),
      ...(usesGrpc ? [await createGrpc(address)] : []),
    ],
    cardResolver: new DefaultAgentCardResolver({ fetchImpl, legacyCompat }),
  }).createFromAgentCard(card);
  return { client, card };
}

/** Loads gRPC for the agents that need it. */
async function createGrpc({ origin }: AgentAddress) {
  const [{ credentials }, { GrpcTransportFactory }] = await Promise.all([
    import('@grpc/grpc-js'),
    import('@a2a-js/sdk/client/grpc'),
  ]);
  const isSecure = origin.startsWith('https:');
  return new GrpcTransportFactory({
    grpcChannelCredentials: isSecure ? credentials.createSsl() : credentials.createInsecure(),
    legacyCompat,
  });
}

function isGrpc({ protocolBinding }: AgentInterface): boolean {
  return protocolBinding.toUpperCase() === 'GRPC';
}

/** A card could send messages and credentials anywhere. */
function keepOwnAddresses({ name, origin }: AgentAddress, card: AgentCard): AgentCard {
  const { hostname } = new URL(origin);
  const own = card.supportedInterfaces.flatMap((entry): AgentInterface[] => {
    if (!isGrpc(entry)) return URL.parse(entry.url)?.origin === origin ? [entry] : [];
    const target = entry.url.replace(/^\w+:\/\//, '').replace(/\/.*$/, '');
    return URL.parse(`http://${target}`)?.hostname === hostname ? [{ ...entry, url: target }] : [];
  });
  if (own.length > 0) {
    const isLegacy = (entry: AgentInterface): boolean => entry.protocolVersion.startsWith('0.');
    const supportedInterfaces = own.toSorted((a, b) => Number(isLegacy(a)) - Number(isLegacy(b)));
    return { ...card, supportedInterfaces };
  }
  const named = card.supportedInterfaces.map(({ url }) => URL.parse(url)?.origin ?? url);
  throw new RefusedError(
    `The card of the agent "${name}" has no address at ${origin}, only at ${[...new Set(named)].join(', ') || 'none'}: its operator must set the URL of the agent.`,
  );
}
