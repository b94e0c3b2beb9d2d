/**
 * Pooled connections to hosts that callers name (webhook receivers, files by URL), guarded when they are
 * dialled (see public-url.ts). A host name is resolved once per connection, all of its addresses are checked,
 * and only these addresses are dialled, so DNS rebinding has no effect. Redirects are not followed.
 */
import { isIP } from 'node:net';
import { Agent } from 'undici';
import { createConnector, resolveLocally } from './connector.ts';
import { isAmong, isPublicAddress } from './public-url.ts';
import { createResolve, type Resolve } from './resolve.ts';

export interface GuardedAgentOptions {
  allowHosts: readonly string[];
  timeoutMs: number;
  /** Maximum number of connections to one origin. Default: 100. */
  connections?: number;
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
const defaultConnections = 100;

export function createGuardedAgent(options: GuardedAgentOptions): Agent {
  const { timeoutMs } = options;
  return new Agent({
    connect: createConnector({ resolve: createGuardedResolve(options), timeoutMs }),
    connections: options.connections ?? defaultConnections,
    pipelining: options.keepAlive === false ? 0 : 1,
    keepAliveTimeout: keepAliveMs,
    keepAliveMaxTimeout: keepAliveMs,
    maxHeaderSize: 16 * 1024,
  });
}

/**
 * Yields only addresses that may be dialled. One forbidden address forbids the host, even if its other addresses
 * are dialled already.
 */
function createGuardedResolve({ allowHosts, timeoutMs, resolve }: GuardedAgentOptions): Resolve {
  const resolvePublic = resolve ?? createResolve(timeoutMs);
  return async function* (host) {
    if (isAmong(host, allowHosts)) {
      yield* resolveLocally(host);
      return;
    }
    const batches = isIP(host) === 0 ? resolvePublic(host) : [[host]];
    for await (const addresses of batches) {
      const forbidden = addresses.find((address) => !isPublicAddress(address));
      if (forbidden !== undefined) {
        throw new ForbiddenAddressError(`${host} resolves to ${forbidden}, which is not a public address`);
      }
      yield addresses;
    }
  };
}
