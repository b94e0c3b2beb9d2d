/**
 * A minimal HTTP/1.1 server for webhooks, cheap for the reason of client.ts. It supports only requests with a content-length,
 * one at a time on each connection.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net';

export interface Received {
  body: string;
  /** The address that the client has dialled. */
  address: string | undefined;
  /** Answers with 204. */
  answer: () => void;
}

export async function listen(
  onRequest: (request: Received) => void,
): Promise<{ port: number; close: () => void }> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    const address = socket.localAddress;
    const answer = () => void socket.write('HTTP/1.1 204 No Content\r\n\r\n');
    let received = '';
    // One character per byte, so that lengths match those of the wire.
    socket.setEncoding('latin1');
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk: string) => {
      received += chunk;
      const end = received.indexOf('\r\n\r\n');
      if (end === -1) return;
      const length = /\r\ncontent-length: *(\d+)/i.exec(received.slice(0, end))?.[1] ?? 0;
      const body = received.slice(end + 4);
      if (body.length < Number(length)) return;
      received = '';
      onRequest({ body, address, answer });
    });
  });
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '0.0.0.0', backlog: 4096 }, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
