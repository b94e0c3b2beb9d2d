/**
 * Reads the rest of a body that is too large, and drops it. Most clients look for an answer only when they have sent
 * all; a connection that is closed on them before tells them nothing.
 */
import type { IncomingMessage } from 'node:http';

const maxBytes = 64 * 1024 * 1024;
const maxMs = 5_000;

/** Resolves when the body has ended, or has gone on for longer than is patient. */
export async function discardBody(request: IncomingMessage): Promise<void> {
  if (request.readableEnded || request.destroyed) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, maxMs);
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) resolve();
    });
    for (const event of ['end', 'close', 'error']) request.once(event, () => resolve());
    request.once('close', () => clearTimeout(timer));
    request.resume();
  });
}
