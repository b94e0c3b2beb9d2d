/** Chooses TCP ports and checks whether they are free. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { ConfigError } from '#shared/runtime/config/env-reader.ts';

/**
 * Returns a free port of 127.0.0.1 that the kernel chooses. Another program can take it before it is used.
 */
export async function findEphemeralPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/**
 * @param setting sets the port: what precedes its number
 * @throws {ConfigError} if another program listens on the port, or the user may not listen on it
 */
export async function assertPortFree(setting: string, port: number): Promise<void> {
  if (await isPortFree(port)) return;
  throw new ConfigError([
    `port ${port} is in use by another program. Choose another port, for example ${setting}${port + 10}`,
  ]);
}

/** Returns the first free port of the 20 from `first` that is not in `taken`, or else any free port. */
export async function findPortFrom(first: number, taken: readonly number[] = []): Promise<number> {
  for (let port = first; port < Math.min(first + 20, 65_536); port++) {
    if (!taken.includes(port) && (await isPortFree(port))) return port;
  }
  return findEphemeralPort();
}

async function isPortFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port); // on all addresses: a listener on any of them is a conflict
    await once(server, 'listening');
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') {
      throw new ConfigError([`this user may not listen on port ${port}. Choose a port above 1023`]);
    }
    return false;
  } finally {
    server.close();
  }
}
