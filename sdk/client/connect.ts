/** Connects to an agent by its card, with credentials. */
import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
} from '@a2a-js/sdk/client';
import { AgentClient } from './agent.ts';
import { UnauthorizedError } from './follow.ts';

export interface ConnectOptions {
  /** Sent with every request, such as `authorization` or `x-api-key`. A function is called for each request. */
  headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
  /** Replaces `fetch`. */
  fetch?: typeof fetch;
}

/**
 * Reads the card of an agent, and returns a client of it. Any agent of A2A 1.0 over JSON-RPC or HTTP+JSON works.
 *
 * @param url base URL of the agent; its card is read from `/.well-known/agent-card.json`
 * @throws {Error} if the card is missing, or lists no binding that this client speaks
 */
export async function connect(url: string | URL, options: ConnectOptions = {}): Promise<AgentClient> {
  const fetchImpl = createFetch(options);
  const sdk = await new ClientFactory({
    transports: [new JsonRpcTransportFactory({ fetchImpl }), new RestTransportFactory({ fetchImpl })],
    cardResolver: new DefaultAgentCardResolver({ fetchImpl }),
  }).createFromUrl(String(url));
  const card = await sdk.getAgentCard();
  return new AgentClient(sdk, new Set(card.capabilities?.extensions.map(({ uri }) => uri)));
}

function createFetch({ headers = {}, fetch: fetchOnce = fetch }: ConnectOptions): typeof fetch {
  return async (input, init) => {
    const merged = new Headers(init?.headers);
    const added = typeof headers === 'function' ? await headers() : headers;
    for (const [name, value] of Object.entries(added)) merged.set(name, value);
    const response = await fetchOnce(input, { ...init, headers: merged });
    if (response.status !== 401 && response.status !== 403) return response;
    await response.body?.cancel();
    throw new UnauthorizedError(`The agent refused the credentials with status ${response.status}.`);
  };
}
