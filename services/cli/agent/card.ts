/** Finds and reads the card of an agent of A2A 1.0 or 0.3. */
import { A2A_VERSION_HEADER, AgentCard } from '@a2a-js/sdk';
import { DefaultAgentCardResolver } from '@a2a-js/sdk/client';
import { CliError } from '../failure.ts';
import { getMessage, request } from './http.ts';

export interface FetchedCard {
  url: string;
  /** The JSON as received. */
  raw: Record<string, unknown>;
  /** In the form of A2A 1.0. */
  card: AgentCard;
  /** The version of the document: an agent of 1.0 may also list interfaces of 0.3. */
  version: '1.0' | '0.3';
}

/** `agent.json` is the place of 0.2 and of early servers of 0.3. */
const paths = ['/.well-known/agent-card.json', '/.well-known/agent.json'];

/**
 * Fetches the card below the URL, or at the root of its host (RFC 8615), or at the URL itself if that ends in `.json`.
 *
 * @throws {CliError} if there is none, or it is not a card
 */
export async function fetchCard(url: string, signal?: AbortSignal): Promise<FetchedCard> {
  const { origin, pathname } = new URL(url);
  const candidates = pathname.endsWith('.json')
    ? [url]
    : [...new Set([...paths.map((path) => url + path), ...paths.map((path) => origin + path)])];
  let last = '';
  for (const candidate of candidates) {
    const response = await request(candidate, {
      headers: { [A2A_VERSION_HEADER]: '1.0', accept: 'application/json' },
      signal: signal ?? null,
    });
    if (response.ok) return parseCard(candidate, await response.text());
    last = `${candidate} answered with status ${response.status}: ${await getMessage(response)}`;
  }
  throw new CliError(`no agent card at ${url}: ${last}`);
}

function parseCard(url: string, body: string): FetchedCard {
  let raw: unknown;
  try {
    raw = JSON.parse(body);
  } catch {
    throw new CliError(`${url} is not an agent card: it is not JSON`);
  }
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    throw new CliError(`${url} is not an agent card: expected a JSON object`);
  }
  const document = raw as Record<string, unknown>;
  try {
    // A card that has the fields of both versions is one of 1.0.
    const current =
      Array.isArray(document['supportedInterfaces']) && document['supportedInterfaces'].length > 0;
    const card = current
      ? AgentCard.fromJSON(document)
      : new DefaultAgentCardResolver({ legacyCompat: { enabled: true } }).normalizeAgentCard(document);
    return { url, raw: document, card: withLists(card), version: current ? '1.0' : '0.3' };
  } catch (error) {
    throw new CliError(`${url} is not a valid agent card: ${(error as Error).message}`, { cause: error });
  }
}

/** Cards of agents may lack lists that the type requires. */
function withLists(card: AgentCard): AgentCard {
  return { ...card, supportedInterfaces: card.supportedInterfaces ?? [], skills: card.skills ?? [] };
}
