/** The other agents that turns of this process call. Connections are keyed by the definition of an agent. */
import { canonicalHash } from '#shared/agent/canonical-hash.ts';
import type { Powers } from '#shared/agent/powers.ts';
import { createIdentityTokens } from '#shared/gcp/identity-token.ts';
import { checkPowers } from '../check-powers.ts';
import { createFetch } from '../fetch.ts';
import type { RemoteAgent, RemoteAgents } from './agent.ts';
import { agentTimes, type AgentTimes } from './fetch.ts';

/**
 * @param getSecret returns the value of `${env:NAME}` by its name
 * @param powers decide which stored definitions may get such values: `open` rejects for others
 */
export function createRemoteAgents(
  getSecret: (name: string) => string | undefined,
  powers: Powers,
  times: AgentTimes = agentTimes,
): RemoteAgents {
  const credentials = { getSecret, getIdentityToken: createIdentityTokens() };
  const network = { fetch: createFetch(times.silenceMs), ...times };
  const connections = new Map<string, RemoteAgent>();
  return {
    open: async (name, definition) => {
      checkPowers({ agents: { [name]: definition }, mcpServers: {}, toolModules: [] }, powers);
      // The SDK is loaded with the first agent, so that workers start quickly.
      const { RemoteConnection } = await import('./connection.ts');
      const { url, card, auth, headers, googleIdentity } = definition;
      const key = canonicalHash({ name, url, card, auth, headers, googleIdentity });
      const connection = connections.get(key) ?? new RemoteConnection(name, definition, credentials, network);
      connections.set(key, connection);
      return connection;
    },
  };
}
