/** Limits the connections of a server. One over the limit is closed before anything is read from it. */
import type { Server, Socket } from 'node:net';
import { toAddressKey } from './client-address.ts';
import { countRefusal } from './refusals.ts';

export interface ConnectionLimits {
  /** Open connections of one server. */
  all: number;
  /** Open connections of one address; 0: no limit. Behind a proxy, all clients have its address. */
  perAddress: number;
}

export function limitConnections(server: Server, { all, perAddress }: ConnectionLimits): void {
  let openHere = 0;
  const open = new Map<string, number>();
  // `server.maxConnections` would not count the connections that other sockets of the port have accepted.
  server.on('connection', (socket: Socket) => {
    const key = toAddressKey(socket.remoteAddress ?? '');
    const count = (open.get(key) ?? 0) + 1;
    openHere += 1;
    open.set(key, count);
    socket.once('close', () => {
      openHere -= 1;
      const left = (open.get(key) ?? 1) - 1;
      if (left === 0) open.delete(key);
      else open.set(key, left);
    });
    if (openHere <= all && (perAddress === 0 || count <= perAddress)) return;
    countRefusal('connections');
    socket.destroy();
  });
}
