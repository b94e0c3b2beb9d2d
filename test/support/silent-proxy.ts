/**
 * A TCP proxy whose connections can go silent: they stay open, but forward nothing, like a connection after a
 * failed network or a frozen peer. New connections work.
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Cleanup } from './cleanup.ts';

export interface SilentProxy {
  readonly port: number;
  /** Connections that are open and not silent. */
  readonly open: number;
  /** Makes all connections that are open now silent, for good. */
  silence(): void;
}

export async function startSilentProxy(
  t: Cleanup,
  target: { host: string; port: number },
): Promise<SilentProxy> {
  const sockets = new Set<Socket>();
  const forwarding = new Set<() => void>();
  const server = createServer((client) => {
    const upstream = connect(target.port, target.host);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    const silence = (): void => {
      for (const socket of [client, upstream]) {
        socket.removeAllListeners('data').pause();
      }
      forwarding.delete(silence);
    };
    forwarding.add(silence);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (data) => to.write(data));
      from.on('error', () => undefined);
      from.on('close', () => {
        sockets.delete(from);
        if (forwarding.delete(silence)) to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    get open() {
      return forwarding.size;
    },
    silence: () => {
      for (const silence of forwarding) silence();
    },
  };
}
