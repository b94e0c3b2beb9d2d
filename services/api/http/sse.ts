/**
 * Server-sent events (WHATWG HTML section 9.2) over Fastify. Each event has the number of the task's event as its id.
 * A comment keeps idle connections open; a reader that is slow holds the producer back, since a chunk is asked for
 * only when there is room.
 */
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';

const keepAliveMs = 15_000;

interface SseEvent {
  id: number | undefined;
  /** The type; readers take none for "message". */
  event?: 'error';
  data: unknown;
}

/** How a binding writes a stream. */
export interface StreamForm {
  id(): number | undefined;
  event(payload: unknown): unknown;
  error(error: unknown): unknown;
  /** Runs when the stream has begun well, before anything is sent. */
  begin(): void;
  /** Also what is refused before the first event is told as an event. */
  always?: boolean;
}

/**
 * Streams what a generator yields. It throws what is refused before the first event, which is an ordinary error and
 * not a stream; a later error is the last event.
 */
export async function sendStream(
  reply: FastifyReply,
  payloads: AsyncGenerator<unknown, void, undefined>,
  form: StreamForm,
): Promise<FastifyReply> {
  const first = payloads.next();
  if (form.always === true) first.catch(() => undefined);
  else await first;
  form.begin();
  return sendSse(reply, events());

  async function* events(): AsyncGenerator<SseEvent, void, undefined> {
    try {
      for (let next = await first; next.done !== true; next = await payloads.next()) {
        yield { id: form.id(), data: form.event(next.value) };
      }
    } catch (error) {
      yield { id: undefined, event: 'error', data: form.error(error) };
    } finally {
      await payloads.return();
    }
  }
}

/** Sends events until they end or the caller goes; the generator is always closed. */
function sendSse(reply: FastifyReply, events: AsyncGenerator<SseEvent, void, undefined>): FastifyReply {
  return reply
    .header('content-type', 'text/event-stream')
    .header('cache-control', 'no-cache')
    .header('x-accel-buffering', 'no')
    .send(new EventStream(events));
}

/** A stream of its own class holds less for each open stream than a generator over a generator. */
class EventStream extends Readable {
  readonly #events: AsyncGenerator<SseEvent, void, undefined>;
  readonly #keepAlive: NodeJS.Timeout;
  #asked = false;

  constructor(events: AsyncGenerator<SseEvent, void, undefined>) {
    super({ highWaterMark: 16 * 1024 });
    this.#events = events;
    this.#keepAlive = setInterval(() => {
      // A reader who has not taken what came before is not idle.
      if (this.readableLength === 0) this.push(': keep-alive\n\n');
    }, keepAliveMs);
  }

  override _read(): void {
    if (this.#asked) return;
    this.#asked = true;
    void this.#next();
  }

  async #next(): Promise<void> {
    try {
      const { done, value } = await this.#events.next();
      this.#asked = false;
      if (this.destroyed) return;
      this.#keepAlive.refresh();
      this.push(done === true ? null : formatEvent(value));
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#keepAlive);
    void this.#close();
    done(error);
  }

  /** Nobody waits for it: the generator may be waiting for an event, and ends when the caller's signal aborts. */
  async #close(): Promise<void> {
    await this.#events.return().catch(() => undefined);
  }
}

function formatEvent({ id, event, data }: SseEvent): string {
  const head = `${id === undefined ? '' : `id: ${id}\n`}${event === undefined ? '' : `event: ${event}\n`}`;
  return `${head}data: ${JSON.stringify(data)}\n\n`;
}
