/** Connections of undici to hosts with several addresses, as browsers dial them (dial.ts). */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { callbackify } from 'node:util';
import { buildConnector } from 'undici';
import { dial, keepAliveInitialMs } from './dial.ts';
import type { Resolve } from './resolve.ts';

const defaultPorts: Record<string, number> = { 'http:': 80, 'https:': 443 };

/**
 * Creates the `connect` option of an undici Agent.
 *
 * @param timeoutMs bounds name resolution and connection, and then the TLS handshake
 */
export function createConnector({
  resolve,
  timeoutMs,
}: {
  /** Must yield only addresses that may be dialled. Also gets the literal addresses of URLs. */
  resolve: Resolve;
  timeoutMs: number;
}): buildConnector.connector {
  const secure = buildConnector({
    allowH2: false,
    timeout: timeoutMs,
    keepAliveInitialDelay: keepAliveInitialMs,
  });
  const open = async ({ hostname, protocol, port }: buildConnector.Options) =>
    dial(resolve(hostname), Number(port || defaultPorts[protocol]), AbortSignal.timeout(timeoutMs));
  const openPlain = callbackify(open);
  return (options, callback) => {
    openPlain(options, (error, socket) => {
      if (error !== null) callback(error, null);
      else if (options.protocol === 'https:') secure({ ...options, httpSocket: socket }, callback);
      else callback(null, socket);
    });
  };
}

/** Resolves names as the operating system does, including those of /etc/hosts. */
export async function* resolveLocally(host: string): AsyncGenerator<readonly string[]> {
  if (isIP(host) !== 0) yield [host];
  else yield (await lookup(host, { all: true })).map(({ address }) => address);
}
