/** TCP ports: free ones, and whether one is. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { ConfigError } from '#shared/runtime/config/env-reader.ts';

/** A TCP port of 127.0.0.1 that nobody listens on at this moment. */
export async function findEphemeralPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** @throws {ConfigError} when another program listens there */
export async function assertPortFree(port: number): Promise<void> {
  if (await isFree(port)) return;
  throw new ConfigError([
    `port ${port} is in use by another program: set PORT to another one, as in PORT=${port + 1} npm start`,
  ]);
}

/** A port like the one wanted, which is easier to remember than any free one. */
export async function findPortFrom(wanted: number): Promise<number> {
  for (let port = wanted; port < Math.min(wanted + 20, 65_536); port++) {
    if (await isFree(port)) return port;
  }
  return findEphemeralPort();
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port); // on all addresses: who listens on any of them is in the way
    await once(server, 'listening');
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') {
      throw new ConfigError([`port ${port} may not be used by this user: set PORT to one above 1023`]);
    }
    return false;
  } finally {
    server.close();
  }
}
