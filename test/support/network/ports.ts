/**
 * Reserves ports for processes that listen on them later. They are below the range from which the kernel assigns ports
 * to clients and to listeners on port 0, so no other process gets one in the meantime. Each test file has its own range.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';

const [firstPort, portsPerFile, ranges] = [20_000, 1_000, 10];
const range = firstPort + (Number(process.env['NODE_TEST_WORKER_ID'] ?? 0) % ranges) * portsPerFile;
let next = process.pid;

/** Returns a free TCP port of 127.0.0.1, a different one for each call. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < portsPerFile; attempt++) {
    const port = range + (next++ % portsPerFile);
    if (await isFree(port)) return port;
  }
  throw new Error(`no port from ${range} to ${range + portsPerFile - 1} is free`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
