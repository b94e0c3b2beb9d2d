/**
 * Pooled connections to hosts that callers name (webhook receivers, files by URL), guarded when they are
 * dialled (see public-url.ts). A host name is resolved once per connection, all of its addresses are checked,
 * and only these addresses are dialled, so DNS rebinding has no effect.
 *
 * IP literals are checked with the URL, before each request. Redirects are not followed.
 */
import { lookup, Resolver } from 'node:dns/promises';
import type { LookupFunction } from 'node:net';
import { callbackify } from 'node:util';
import { Agent } from 'undici';
import { isAmong, isPublicAddress } from './public-url.ts';

/** Resolves a host to all of its addresses. */
export type Resolve = (host: string) => Promise<string[]>;

export interface GuardedAgentOptions {
  allowHosts: readonly string[];
  timeoutMs: number;
  /** False: each request has a connection of its own. Default: true. */
  keepAlive?: boolean;
  /** Default: queries the name servers of the machine. */
  resolve?: Resolve;
}

export class ForbiddenAddressError extends Error {
  override readonly name = 'ForbiddenAddressError';
}

/** Time after which an idle connection is closed. */
export const keepAliveMs = 10_000;
const connectionsPerOrigin = 100;

export function createGuardedAgent(options: GuardedAgentOptions): Agent {
  return new Agent({
    connect: { lookup: createGuardedLookup(options), timeout: options.timeoutMs },
    connections: connectionsPerOrigin,
    pipelining: options.keepAlive === false ? 0 : 1,
    keepAliveTimeout: keepAliveMs,
    keepAliveMaxTimeout: keepAliveMs,
    maxHeaderSize: 16 * 1024,
    allowH2: false,
  });
}

function createGuardedLookup(options: GuardedAgentOptions): LookupFunction {
  const resolve = options.resolve ?? createResolve(options.timeoutMs);
  const lookupGuarded = callbackify((host: string) => resolveGuarded(host, options.allowHosts, resolve));
  return (host, { all }, callback) => {
    lookupGuarded(host, (error, addresses) => {
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
  // Exempt hosts may be known to this machine only (/etc/hosts).
  const found = exempt
    ? (await lookup(host, { all: true })).map(({ address }) => address)
    : await resolve(host);
  const forbidden = exempt ? undefined : found.find((address) => !isPublicAddress(address));
  if (forbidden !== undefined) {
    throw new ForbiddenAddressError(`${host} resolves to ${forbidden}, which is not a public address`);
  }
  const [first, ...others] = found.map((address): Address => ({
    address,
    family: address.includes(':') ? 6 : 4,
  }));
  if (first === undefined) throw new Error(`${host} has no address`);
  return [first, ...others];
}

/**
 * Queries DNS directly. The resolver of the operating system runs on a few threads, which one slow name
 * server could occupy (invariant 11).
 *
 * @param servers `host:port` of name servers; default: those of the machine
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
