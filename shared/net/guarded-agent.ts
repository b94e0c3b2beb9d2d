/**
 * Connections to hosts that callers name (receivers of webhooks, files by URL): pooled, and guarded at dial (see
 * public-url.ts). A name is resolved once for each connection, every address that it has is checked, and only those
 * addresses are dialled, so that a name that resolves differently the next time gains nothing.
 *
 * Literal addresses are never resolved: they are checked with the URL, before each request. Redirects are not followed.
 */
import { lookup, Resolver } from 'node:dns/promises';
import type { LookupFunction } from 'node:net';
import { callbackify } from 'node:util';
import { isAmong, isPublicAddress } from './public-url.ts';
import { Agent } from 'undici';

/** All addresses of a host. */
export type Resolve = (host: string) => Promise<string[]>;

export interface GuardedAgentOptions {
  allowHosts: readonly string[];
  timeoutMs: number;
  /** Left out: asks the name servers of the machine. */
  resolve?: Resolve;
}

export class ForbiddenAddressError extends Error {
  override readonly name = 'ForbiddenAddressError';
}

const keepAliveMs = 10_000;
const connectionsPerOrigin = 100;

export function createGuardedAgent(options: GuardedAgentOptions): Agent {
  return new Agent({
    connect: { lookup: guardedLookup(options), timeout: options.timeoutMs },
    connections: connectionsPerOrigin,
    keepAliveTimeout: keepAliveMs,
    keepAliveMaxTimeout: keepAliveMs,
    maxHeaderSize: 16 * 1024,
    allowH2: false,
  });
}

function guardedLookup(options: GuardedAgentOptions): LookupFunction {
  const resolve = options.resolve ?? createResolve(options.timeoutMs);
  const find = callbackify((host: string) => resolveGuarded(host, options.allowHosts, resolve));
  return (host, { all }, callback) => {
    find(host, (error, addresses) => {
      if (error !== null) callback(error, []);
      else if (all === true) callback(null, addresses);
      else callback(null, addresses[0].address, addresses[0].family);
    });
  };
}

interface Address {
  address: string;
  family: 4 | 6;
}

async function resolveGuarded(
  host: string,
  allowHosts: readonly string[],
  resolve: Resolve,
): Promise<[Address, ...Address[]]> {
  const exempt = isAmong(host, allowHosts);
  // Names that an operator has exempted may be known to this machine alone.
  const found = exempt
    ? (await lookup(host, { all: true })).map(({ address }) => address)
    : await resolve(host);
  const refused = exempt ? undefined : found.find((address) => !isPublicAddress(address));
  if (refused !== undefined) {
    throw new ForbiddenAddressError(`${host} leads to ${refused}, which is not a public address`);
  }
  const [first, ...others] = found.map((address): Address => ({
    address,
    family: address.includes(':') ? 6 : 4,
  }));
  if (first === undefined) throw new Error(`${host} has no address`);
  return [first, ...others];
}

/**
 * Asks the DNS itself rather than the operating system, whose few threads one slow name server could fill
 * (invariant 11).
 *
 * @param servers `host:port` of name servers; left out: those of the machine
 */
export function createResolve(timeoutMs: number, servers?: readonly string[]): Resolve {
  const resolver = new Resolver({ timeout: Math.ceil(timeoutMs / 4), tries: 2 });
  if (servers !== undefined) resolver.setServers(servers);
  return async (host) => {
    const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    const [first] = answers;
    if (addresses.length === 0 && first.status === 'rejected') throw first.reason;
    return addresses;
  };
}
