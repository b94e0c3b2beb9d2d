/**
 * Replaces gRPC clients whose connection cannot be opened. grpc-js waits without a limit for the handshakes of a new
 * connection, so that a peer which is silent at that moment keeps the channel connecting for ever, even when new
 * connections would work.
 */

/** `connectivityState.CONNECTING` of grpc-js, which is not loaded here. */
const connecting = 1;

/** Returns whether the channel of a generated client is opening a connection. */
export async function isConnecting(stub: Promise<unknown>): Promise<boolean> {
  const client = (await stub) as { getChannel(): { getConnectivityState(connect: boolean): number } };
  return client.getChannel().getConnectivityState(false) === connecting;
}

export interface ReplaceableClient<C> {
  /** Opens the client ahead of the first call. */
  open(): void;
  /** Makes a call. If the channel is still connecting after `handshakeMs`, later calls use another client. */
  call<T>(run: (client: C) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export function createReplaceableClient<C extends { close(): Promise<void> }>(parts: {
  open: () => Promise<C>;
  getStub: (client: C) => Promise<unknown> | undefined;
  handshakeMs: number;
}): ReplaceableClient<C> {
  const { getStub, handshakeMs } = parts;
  let current: Promise<C> | undefined;
  const open = (): Promise<C> => (current ??= parts.open());

  async function replaceIfConnecting(used: Promise<C>): Promise<void> {
    const client = await used;
    const stub = getStub(client);
    if (stub === undefined || current !== used || !(await isConnecting(stub))) return;
    current = undefined;
    await client.close();
  }

  return {
    open: () => void open(),
    call: async (run) => {
      const used = open();
      const check = (): void => void replaceIfConnecting(used).catch(() => undefined);
      const timer = setTimeout(check, handshakeMs);
      try {
        return await run(await used);
      } finally {
        clearTimeout(timer);
      }
    },
    close: async () => {
      const client = await current?.catch(() => undefined);
      await client?.close();
    },
  };
}
