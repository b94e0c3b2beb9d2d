/**
 * Ports for processes that take them later. They lie below those that the kernel gives to clients and to whoever listens
 * on port 0, so that nobody is given one in the meantime; each file of a run has a range of its own.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';

const [lowest, perFile, ranges] = [20_000, 1_000, 10];
const range = lowest + (Number(process.env['NODE_TEST_WORKER_ID'] ?? 0) % ranges) * perFile;
let next = process.pid;

/** A TCP port of 127.0.0.1 that nobody listens on, each time another. */
export async function freePort(): Promise<number> {
  for (let tried = 0; tried < perFile; tried++) {
    const port = range + (next++ % perFile);
    if (await isFree(port)) return port;
  }
  throw new Error(`no port from ${range} on is free`);
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
