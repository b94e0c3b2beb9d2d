/**
 * Reads the stream of a call at Google (ai.google.dev/gemini-api/docs/interactions/streaming, 2026-06-22) and passes on
 * what clients see. A stream that breaks is taken up again after its last event.
 *
 *   step.delta: text, a thought's summary ─▶ the sink
 *   interaction.completed, a final status ─▶ ended
 *   no event for a while                  ─▶ quiet: the caller releases its slot, and reads on later
 */
import { ApiError } from '@google/genai';
import type { OpenedStream, StreamEvent } from './client.ts';
import { hasEnded } from './response.ts';

/** Takes what clients see, with the id of its event. Text without an id comes at the end: its stream cannot be continued. */
export interface StreamSink {
  text(text: string, event: string): void;
  summary(text: string, event: string): Promise<void>;
}

/** Opens the stream after an event. */
export type OpenStream = (after: string | undefined, signal: AbortSignal) => Promise<OpenedStream>;

export interface FollowOptions {
  after: string | undefined;
  signal: AbortSignal;
  /** The longest time without an event, in milliseconds. */
  quietMs: number;
  /** Called for each event. */
  onEvent?: () => void;
}

/** After this many connections in a row without a new event, a stream is left to the next poll. */
const maxBreaks = 3;

/**
 * @returns whether the call has ended. If not, the stream is quiet, or cannot be read now
 * @throws the error of the sink
 * @throws {ApiError} 404 if Google no longer has the call
 */
export async function followStream(
  open: OpenStream,
  sink: StreamSink,
  { after, signal, quietMs, onEvent }: FollowOptions,
): Promise<boolean> {
  let last = after;
  for (let breaks = 0; breaks < maxBreaks;) {
    const connection = new Connection(open, signal, quietMs);
    try {
      for await (const event of connection.read(last)) {
        onEvent?.();
        if (event.event_id !== undefined && event.event_id !== last) {
          last = event.event_id;
          breaks = 0;
        }
        if (await take(event, sink)) return true;
        if (event.event_type === 'error') break;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BrokenStreamError)) throw error;
      if (error.cause instanceof ApiError && error.cause.status === 404) throw error.cause;
    } finally {
      connection.close();
    }
    if (connection.isQuiet) return false;
    breaks += 1;
  }
  return false;
}

/** The connection of a stream failed, not the work on its events. */
class BrokenStreamError extends Error {}

/** One connection, which ends when it has been quiet for too long. */
class Connection {
  isQuiet = false;
  readonly #open: OpenStream;
  readonly #signal: AbortSignal;
  readonly #quiet = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #opened: OpenedStream | undefined;

  constructor(open: OpenStream, signal: AbortSignal, quietMs: number) {
    this.#open = open;
    this.#signal = AbortSignal.any([signal, this.#quiet.signal]);
    this.#timer = setTimeout(() => {
      this.isQuiet = true;
      this.close();
    }, quietMs);
  }

  /** @throws {BrokenStreamError} when the connection ends before the stream */
  async *read(after: string | undefined): AsyncGenerator<StreamEvent> {
    const fail = (cause: unknown): never => {
      throw new BrokenStreamError('the stream broke', { cause });
    };
    this.#opened = await this.#open(after, this.#signal).catch(fail);
    const events = this.#opened.events[Symbol.asyncIterator]();
    for (;;) {
      const next = await events.next().catch(fail);
      if (next.done === true) return;
      this.#timer.refresh();
      yield next.value;
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#quiet.abort();
    this.#opened?.close();
  }
}

/** @returns whether the call has ended */
async function take(event: StreamEvent, sink: StreamSink): Promise<boolean> {
  const { event_id: id } = event;
  switch (event.event_type) {
    case 'step.start':
      if (event.step.type !== 'model_output' || id === undefined) return false;
      for (const part of event.step.content ?? []) if (part.type === 'text') sink.text(part.text, id);
      return false;
    case 'step.delta': {
      const { delta } = event;
      if (id === undefined) return false;
      if (delta.type === 'text') sink.text(delta.text, id);
      if (delta.type === 'thought_summary' && delta.content?.type === 'text') {
        await sink.summary(delta.content.text, id);
      }
      return false;
    }
    case 'interaction.completed':
      return true;
    case 'interaction.status_update':
      return hasEnded(event);
    case 'interaction.created':
    case 'step.stop':
    case 'error':
      return false;
    default:
      // An event that Google has added since.
      return false;
  }
}
