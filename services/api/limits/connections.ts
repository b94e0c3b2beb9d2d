/** Limits the connections of a server. One over the limit is closed before anything is read from it. */
import type { Http2Server, ServerHttp2Session } from 'node:http2';
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

/** How long a client may leave its side of a connection open that the server has closed, in milliseconds. */
const halfOpenMs = 5_000;

/**
 * Closes the connections of an HTTP/2 server on which no call starts in time, and those whose client does not close
 * its side. HTTP/2 has no deadlines: a client may send the start of a connection, or its headers, byte by byte.
 *
 * @param callMs time from the start of a connection to its first call, in milliseconds
 */
export function closeUnusedConnections(server: Http2Server, callMs: number): void {
  server.on('session', (session: ServerHttp2Session) => {
    const timer = setTimeout(() => session.destroy(), callMs);
    const stop = (): void => clearTimeout(timer);
    session.once('stream', stop);
    session.once('close', stop);
  });
  server.on('connection', (socket: Socket) => {
    socket.once('finish', () => {
      const timer = setTimeout(() => socket.destroy(), halfOpenMs);
      socket.once('close', () => clearTimeout(timer));
    });
  });
}
