/** Calls the routes that Longhaul adds to the HTTP+JSON binding (docs/extensions). */
import { CliError } from '../failure.ts';
import type { Agent } from './connect.ts';
import { getMessage, request } from './http.ts';

export interface RouteCall {
  /** Default: GET. */
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  body?: object | undefined;
  signal?: AbortSignal;
}

/**
 * Sends a request below the address of the HTTP+JSON binding.
 *
 * @param extension the one that defines the route
 * @throws {CliError} if the card does not list the extension, or the agent refuses the request
 */
export async function callRoute<T>(
  agent: Agent,
  extension: string,
  path: string,
  call: RouteCall = {},
): Promise<T> {
  const response = await requestRoute(agent, extension, path, call);
  if (!response.ok) throw new CliError(await getMessage(response));
  return (await response.json()) as T;
}

/** The same, but returns any answer of the route. */
export function requestRoute(
  agent: Agent,
  extension: string,
  path: string,
  { method = 'GET', body, signal }: RouteCall,
): Promise<Response> {
  return request(getRoute(agent, extension, path), {
    method,
    headers: {
      ...agent.authHeaders,
      'a2a-version': '1.0',
      accept: 'application/json',
      ...(body && { 'content-type': 'application/json' }),
    },
    signal: signal ?? null,
    ...(body && { body: JSON.stringify(body) }),
  });
}

/** Returns the address of a route. @throws {CliError} if the agent does not have it */
export function getRoute({ card, supports, owner }: Agent, extension: string, path: string): string {
  const found = card.supportedInterfaces.find(
    ({ protocolBinding, protocolVersion }) => protocolBinding === 'HTTP+JSON' && protocolVersion === '1.0',
  );
  if (found === undefined || !supports(extension)) {
    throw new CliError(`${card.name} does not support this: its card does not list ${extension}`);
  }
  const tenant = found.tenant ? `/${encodeURIComponent(found.tenant)}` : '';
  const url = `${found.url.replace(/\/+$/, '')}${tenant}${path}`;
  if (owner === undefined) return url;
  return `${url}${path.includes('?') ? '&' : '?'}owner=${encodeURIComponent(owner)}`;
}

/** Reads pages of at most 100 entries until there are as many as wanted, or no more. */
export async function listPages<T>(
  limit: number,
  read: (page: { pageSize: string; pageToken: string }) => Promise<{ entries: T[]; nextPageToken: string }>,
): Promise<T[]> {
  const all: T[] = [];
  let pageToken = '';
  do {
    const page = await read({ pageSize: String(Math.min(100, limit - all.length)), pageToken });
    all.push(...page.entries);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && all.length < limit);
  return all;
}
