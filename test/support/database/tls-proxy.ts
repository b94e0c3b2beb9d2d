/**
 * A door before a PostgreSQL server that lets only encrypted connections in, as AlloyDB does: it answers the protocol's
 * SSLRequest itself, and hands what it decrypts on to the server.
 */
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { createSecureContext, TLSSocket } from 'node:tls';

const sslRequestCode = 80_877_103;

/** @returns the URL of the database behind the door */
export async function startTlsProxy(
  t: TestContext,
  databaseUrl: string,
  files: { key: string; certificate: string },
): Promise<string> {
  const { hostname, port } = new URL(databaseUrl);
  const secureContext = createSecureContext({
    key: readFileSync(files.key),
    cert: readFileSync(files.certificate),
  });
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket.once('close', () => open.delete(socket)).on('error', () => undefined));
    socket.once('data', (first) => {
      if (first.readInt32BE(4) !== sslRequestCode) return socket.end(refusal());
      socket.write('S');
      const clear = new TLSSocket(socket, { isServer: true, secureContext });
      const behind = connect(Number(port), hostname);
      clear.on('error', () => behind.destroy()).pipe(behind);
      behind.on('error', () => clear.destroy()).pipe(clear);
      return undefined;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  const url = new URL(databaseUrl);
  url.port = String((server.address() as AddressInfo).port);
  return url.href;
}

/** An ErrorResponse of the protocol. */
function refusal(): Buffer {
  const fields = Buffer.from('SFATAL\0C28000\0MSSL connection is required\0\0');
  const head = Buffer.alloc(5);
  head.write('E');
  head.writeInt32BE(fields.length + 4, 1);
  return Buffer.concat([head, fields]);
}
