/**
 * Server-sent events (WHATWG HTML section 9.2) over Fastify. The id of each event is the number of the task's
 * event. Comments keep idle connections open. A slow reader slows the producer down: the next event is pulled
 * only when there is room for it.
 */
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';

const keepAliveMs = 15_000;

interface SseEvent {
  id: number | string | undefined;
  /** The type; readers default to "message". */
  event?: 'error';
  /** Undefined: the reader learns the id only. */
  data: unknown;
}

/** How a binding writes a stream. */
export interface StreamFormat {
  id(): number | string | undefined;
  event(payload: unknown): unknown;
  error: (error: unknown) => unknown;
  /** Runs once the first event is ready, before anything is sent. */
  onStart: () => void;
}

/**
 * Streams what a generator yields. An error before the first event is thrown, so that it becomes an ordinary
 * response; a later error becomes the last event.
 */
export function sendStream(
  reply: FastifyReply,
  payloads: AsyncGenerator<unknown, void, undefined>,
  format: StreamFormat,
): Promise<FastifyReply> {
  const encode = (payload: unknown): string => formatEvent({ id: format.id(), data: format.event(payload) });
  return sendEncoded(reply, payloads, { encode, error: format.error, onStart: format.onStart });
}

/** Like `sendStream`, for payloads that are not one event each. `encode` returns whole events, as text or in UTF-8. */
export async function sendEncoded<Payload>(
  reply: FastifyReply,
  payloads: AsyncGenerator<Payload, void, undefined>,
  format: Pick<StreamFormat, 'error' | 'onStart'> & { encode(payload: Payload): string | Buffer },
): Promise<FastifyReply> {
  const first = payloads.next();
  await first;
  format.onStart();
  // A generator that was never read skips its `finally`: the client may have left before the first event.
  return sendSse(reply, events(), () => payloads.return());

  async function* events(): AsyncGenerator<string | Buffer, void, undefined> {
    try {
      for (let next = await first; next.done !== true; next = await payloads.next()) {
        yield format.encode(next.value);
      }
    } catch (error) {
      yield formatEvent({ id: undefined, event: 'error', data: format.error(error) });
    }
  }
}

/** Sends a stream that consists of an error. */
export function sendErrorEvent(reply: FastifyReply, data: unknown): FastifyReply {
  return withSseHeaders(reply).send(formatEvent({ id: undefined, event: 'error', data }));
}

/** Sends events until they end or the client disconnects. Then it calls `close`. */
function sendSse(
  reply: FastifyReply,
  events: AsyncGenerator<string | Buffer, void, undefined>,
  close: () => Promise<unknown>,
): FastifyReply {
  return withSseHeaders(reply).send(new EventStream(events, close));
}

function withSseHeaders(reply: FastifyReply): FastifyReply {
  return reply
    .header('content-type', 'text/event-stream')
    .header('cache-control', 'no-cache')
    .header('x-accel-buffering', 'no');
}

/** A subclass of Readable uses less memory per open stream than a generator that wraps another generator. */
class EventStream extends Readable {
  readonly #events: AsyncGenerator<string | Buffer, void, undefined>;
  readonly #onClose: () => Promise<unknown>;
  readonly #keepAlive: NodeJS.Timeout;
  #pulling = false;

  constructor(events: AsyncGenerator<string | Buffer, void, undefined>, onClose: () => Promise<unknown>) {
    super({ highWaterMark: 16 * 1024 });
    this.#events = events;
    this.#onClose = onClose;
    this.#keepAlive = setInterval(() => {
      // A reader that has not read the previous events is not idle.
      if (this.readableLength === 0) this.push(': keep-alive\n\n');
    }, keepAliveMs);
  }

  override _read(): void {
    if (this.#pulling) return;
    this.#pulling = true;
    void this.#next();
  }

  async #next(): Promise<void> {
    try {
      const { done, value } = await this.#events.next();
      this.#pulling = false;
      if (this.destroyed) return;
      this.#keepAlive.refresh();
      this.push(done === true ? null : value);
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#keepAlive);
    void this.#close();
    done(error);
  }

  /** Not awaited: the generator may be waiting for an event, and ends when the call's signal aborts. */
  async #close(): Promise<void> {
    await Promise.allSettled([this.#events.return(), this.#onClose()]);
  }
}

export function formatEvent({ id, event, data }: SseEvent): string {
  const head = `${id === undefined ? '' : `id: ${id}\n`}${event === undefined ? '' : `event: ${event}\n`}`;
  return data === undefined ? `${head}\n` : `${head}data: ${escapeLineBreaks(JSON.stringify(data))}\n\n`;
}

/** Escapes the characters of JSON text that some readers take for line breaks, though the standard does not. */
function escapeLineBreaks(json: string): string {
  return json.replaceAll(/[\u0085\u2028\u2029]/g, (char) => lineBreaks[char] ?? char);
}

const lineBreaks: Readonly<Record<string, string>> = {
  '\u0085': '\\u0085',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
};
