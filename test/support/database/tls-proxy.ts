/**
 * A proxy that requires TLS, in front of a PostgreSQL server, like AlloyDB: it answers the protocol's
 * SSLRequest itself and forwards the decrypted connection to the server.
 */
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { createSecureContext, TLSSocket } from 'node:tls';

const sslRequestCode = 80_877_103;

/** @returns the URL of the database through the proxy */
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
      if (first.readInt32BE(4) !== sslRequestCode) return socket.end(createRefusal());
      socket.write('S');
      const decrypted = new TLSSocket(socket, { isServer: true, secureContext });
      const upstream = connect(Number(port), hostname);
      decrypted.on('error', () => upstream.destroy()).pipe(upstream);
      upstream.on('error', () => decrypted.destroy()).pipe(decrypted);
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

/** An ErrorResponse of the PostgreSQL protocol. */
function createRefusal(): Buffer {
  const fields = Buffer.from('SFATAL\0C28000\0MSSL connection is required\0\0');
  const head = Buffer.alloc(5);
  head.write('E');
  head.writeInt32BE(fields.length + 4, 1);
  return Buffer.concat([head, fields]);
}
