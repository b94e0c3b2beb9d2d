/**
 * Closes HTTP connections whose clients do not take what was sent to them, because it stays in memory: one
 * event of a stream (the next one is produced only when there is room for it), or all of another response.
 */
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { countRefusal } from './refusals.ts';

/** Time for a client to take what one write has sent, in milliseconds. */
const takeMs = 60_000;

interface Progress {
  /** Bytes that the client has taken. */
  taken: number;
  at: number;
}

/** @param sweepMs interval at which connections are checked */
export function closeSlowReaders(app: FastifyInstance, boundMs = takeMs, sweepMs = 15_000): void {
  const connections = new Map<Socket, Progress>();
  app.server.on('connection', (socket) => {
    connections.set(socket, { taken: 0, at: performance.now() });
    socket.once('close', () => connections.delete(socket));
  });
  const timer = setInterval(() => {
    const now = performance.now();
    for (const [socket, progress] of connections) {
      const taken = socket.bytesWritten - socket.writableLength;
      if (socket.writableLength === 0 || taken !== progress.taken) {
        progress.taken = taken;
        progress.at = now;
      } else if (now - progress.at >= boundMs) {
        countRefusal('slow_reader');
        socket.destroy();
      }
    }
  }, sweepMs).unref();
  app.addHook('onClose', async () => clearInterval(timer));
}
