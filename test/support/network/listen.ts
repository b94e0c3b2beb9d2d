import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Cleanup } from '../cleanup.ts';

/**
 * Listens on 127.0.0.1 until the test ends.
 *
 * @param port default: a free one
 * @returns the URL of the server, without a path
 */
export async function listen(t: Cleanup, server: Server, port = 0): Promise<string> {
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
