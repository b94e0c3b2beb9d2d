/** The header for the key of the user, as the card of the agent asks for it. */
import type { AgentCard } from '@a2a-js/sdk';
import { usageError } from '../failure.ts';

/**
 * A JSON Web Token is sent as a bearer token. Any other key is sent in the header of the card's first scheme for API
 * keys, or as a bearer token if the card has only such schemes.
 */
export function createAuthHeaders(card: AgentCard, apiKey: string | undefined): Record<string, string> {
  if (apiKey === undefined) return {};
  const bearer = { authorization: `Bearer ${apiKey}` };
  if (/^[\w-]+\.[\w-]+\.[\w-]*$/.test(apiKey)) return bearer;
  const schemes = Object.values(card.securitySchemes ?? {}).map(({ scheme }) => scheme);
  for (const scheme of schemes) {
    if (scheme?.$case === 'apiKeySecurityScheme' && scheme.value.location === 'header') {
      return { [scheme.value.name.toLowerCase()]: apiKey };
    }
  }
  return schemes.length === 0 ? { 'x-api-key': apiKey } : bearer;
}

/**
 * Keys are sent to the host that the user named, and to no other host that a card names. The names of this machine are
 * one host.
 *
 * @throws {CliError} if the endpoint is on another host
 */
export function checkEndpoint(url: string, endpoint: string, apiKey: string | undefined): void {
  if (apiKey === undefined || getHost(url) === getHost(endpoint)) return;
  const { origin } = new URL(endpoint);
  throw usageError(
    `the card of ${url} lists an endpoint on another host, ${origin}, and a key is sent only to the host that you name: use --url ${origin} if you trust it`,
  );
}

function getHost(url: string): string {
  const { protocol, hostname, host } = new URL(url);
  return /^(localhost|127\.0\.0\.1|\[::1\])$/.test(hostname) ? 'this machine' : `${protocol}//${host}`;
}
