/** Writes the stream of an interaction as server-sent events. */
import type { ServerResponse } from 'node:http';
import type { StreamEvent } from './stream.ts';

/** @param maxEvents breaks the connection after this many */
export async function sendEvents(
  response: ServerResponse,
  events: AsyncGenerator<StreamEvent>,
  maxEvents: number,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
  let sent = 0;
  for await (const event of events) {
    if (response.destroyed) return;
    if (sent >= maxEvents) {
      // The events so far arrive before the connection breaks.
      await new Promise<void>((resolve) => response.write('', () => resolve()));
      return void response.destroy();
    }
    response.write(`event: ${event.event_type}\ndata: ${JSON.stringify(event)}\n\n`);
    sent += 1;
  }
  response.end('event: done\ndata: [DONE]\n\n');
}
