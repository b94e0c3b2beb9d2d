/** A TCP proxy in front of one partner of the system. It causes the faults of a run. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Cleanup } from '../../../support/cleanup.ts';

export type ProxyFault =
  /** Connections, old and new ones, are open but carry nothing. Old ones stay so. */
  | 'silent'
  /** Each answer is delayed. */
  | 'slow'
  /** Each request gets an HTTP response 500, which is nonsense to gRPC. */
  | 'errors'
  /** Connections are closed, and new ones are refused. */
  | 'away';

export interface FaultProxy {
  readonly port: number;
  /** Causes a fault from now on; undefined: none. */
  set(fault: ProxyFault | undefined): void;
}

const slowMs = 2_000;
const serverError = 'HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n';

export async function startFaultProxy(t: Cleanup, targetPort: number): Promise<FaultProxy> {
  const sockets = new Set<Socket>();
  let fault: ProxyFault | undefined;

  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  };

  const server = createServer((client) => {
    keep(client);
    if (fault === 'away') client.resetAndDestroy();
    else if (fault === 'errors') client.once('data', () => client.end(serverError));
    else if (fault === 'silent') client.pause();
    else forward(client);
  });

  function forward(client: Socket): void {
    const upstream = connect(targetPort, '127.0.0.1');
    keep(upstream);
    let silent = false;
    const isSilent = (): boolean => (silent ||= fault === 'silent');
    client.on('data', (data) => isSilent() || upstream.write(data));
    upstream.on('data', (data) => {
      if (isSilent()) return;
      if (fault === 'slow') setTimeout(() => client.write(data), slowMs);
      else client.write(data);
    });
    const close = (other: Socket) => () =>
      void (isSilent() || setTimeout(() => other.destroy(), fault === 'slow' ? slowMs : 0));
    client.on('close', () => upstream.destroy());
    upstream.on('close', close(client));
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    set: (next) => {
      fault = next;
      if (fault === 'away' || fault === 'errors') for (const socket of sockets) socket.destroy();
    },
  };
}
