/**
 * Connects to the first address of a host that answers (RFC 8305, "Happy Eyeballs").
 *
 *   IPv6 ──250 ms──▶ IPv4 ──250 ms──▶ IPv6 … : the earlier attempts continue, and the first connection wins
 *
 * Node's own `autoSelectFamily` gives up an attempt after 250 ms, so that it never reaches a host that is further
 * away, or whose first packet was lost.
 */
import { connect, isIPv6, type Socket } from 'node:net';

/** Time from the start of one attempt to the next (RFC 8305, section 5: Connection Attempt Delay). */
const attemptDelayMs = 250;
/**
 * The kernel asks whether the peer of a connection is alive after this silence, and after 10 s without an answer closes
 * the connection (libuv asks once a second).
 */
export const keepAliveInitialMs = 15_000;

/**
 * @param batches the addresses, all of which may be dialled; an error ends all attempts
 * @param signal ends all attempts; its reason is the error
 * @throws the error of the only attempt, or an AggregateError of all
 */
export async function dial(
  batches: AsyncIterable<readonly string[]>,
  port: number,
  signal: AbortSignal,
): Promise<Socket> {
  const waiting: string[] = [];
  const dialling = new Set<Socket>();
  const errors: Error[] = [];
  let complete = false;
  let ended = false;
  let timer: NodeJS.Timeout | undefined;
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();

  function startNext(): void {
    clearTimeout(timer);
    const address = waiting.shift();
    if (address !== undefined) {
      start(address);
      timer = setTimeout(startNext, attemptDelayMs);
    } else if (complete && dialling.size === 0) {
      const [only] = errors;
      reject(
        errors.length === 1 ? only : new AggregateError(errors, 'no address of the host accepts connections'),
      );
    }
  }

  function start(address: string): void {
    const socket = connect({
      host: address,
      port,
      autoSelectFamily: false,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveInitialMs,
      noDelay: true,
    });
    dialling.add(socket);
    socket.once('error', (error) => {
      dialling.delete(socket);
      errors.push(error);
      startNext();
    });
    socket.once('connect', () => {
      dialling.delete(socket);
      socket.removeAllListeners('error');
      resolve(socket);
    });
  }

  async function readBatches(): Promise<void> {
    for await (const batch of batches) {
      if (ended) return;
      const mayStart = waiting.length === 0 && dialling.size === 0;
      waiting.push(...interleave(batch));
      if (mayStart) startNext();
    }
    complete = true;
    if (!ended && waiting.length === 0) startNext();
  }

  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  else readBatches().catch(reject);
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
    clearTimeout(timer);
    ended = true;
    for (const socket of dialling)
      socket
        .removeAllListeners()
        .on('error', () => undefined)
        .destroy();
  }
}

/** Alternates between the families, IPv6 first (RFC 8305, section 4). */
function interleave(addresses: readonly string[]): string[] {
  const { true: v6 = [], false: v4 = [] } = Object.groupBy(addresses, (address) => String(isIPv6(address)));
  const length = Math.max(v6.length, v4.length);
  return Array.from({ length }, (_, index) => [v6[index], v4[index]])
    .flat()
    .filter((address) => address !== undefined);
}
