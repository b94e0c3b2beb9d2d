/** A fetch that tolerates the silence of a partner that works for minutes before it answers. */

export type Fetch = typeof globalThis.fetch;

/** For the connection, and for the TLS handshake. */
const connectMs = 10_000;

/**
 * Creates a fetch with its own connection pool.
 *
 * @param silenceMs the longest silence before and within a response. By default fetch gives up after 5 minutes
 */
export function createFetch(silenceMs: number): Fetch {
  let opening: ReturnType<typeof openConnections> | undefined;
  const fetch = async (url: string | URL, init: object = {}) => {
    const { undici, dispatcher } = await (opening ??= openConnections(silenceMs));
    return undici.fetch(url, { ...init, dispatcher });
  };
  // Both implement the same standard; only their type declarations differ.
  return fetch as unknown as Fetch;
}

/** Loads undici with the first call, so that workers start quickly. */
async function openConnections(silenceMs: number) {
  const [undici, { createConnector, resolveLocally }, { endDeadCalls }] = await Promise.all([
    import('undici'),
    import('#shared/net/connector.ts'),
    import('./dead-calls.ts'),
  ]);
  const connect = createConnector({ resolve: resolveLocally, timeoutMs: connectMs });
  const dispatcher = new undici.Agent({
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
    connect,
  }).compose(endDeadCalls({ connect }));
  return { undici, dispatcher };
}
