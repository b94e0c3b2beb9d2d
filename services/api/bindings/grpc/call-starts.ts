/**
 * Starts the calls of a gRPC server a few at a time. The start of a call takes 0.2 ms, and one read of each socket may
 * bring hundreds of them; without a bound, everything else in the process would wait for all. Connections take turns.
 */
import { constants, type Http2Server, type Http2Session, type ServerHttp2Stream } from 'node:http2';
import { countRefusal } from '../../limits/refusals.ts';

/** Calls that start in one iteration of the event loop. */
const maxStarts = 8;
/** Calls that wait for their start. Each may have 64 KB in memory. */
const maxWaiting = 2_000;

type Start = () => void;

/** Wraps the listeners that the server has now. */
export function boundCallStarts(server: Http2Server): void {
  const listeners = server.listeners('stream');
  const starts = new CallStarts();
  server.removeAllListeners('stream');
  server.on('stream', (stream: ServerHttp2Stream, ...rest: unknown[]) => {
    const isTaken = starts.add(stream.session, () => {
      if (stream.destroyed || stream.closed) return;
      for (const listener of listeners) Reflect.apply(listener, server, [stream, ...rest]);
    });
    // A call may fail before it has started.
    stream.on('error', ignore);
    if (isTaken) return;
    countRefusal('receiving');
    // The client may send it again (RFC 9113, section 8.7).
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
  });
}

function ignore(): void {}

export class CallStarts {
  /** Calls that wait, by connection. The first connection is next. */
  readonly #waiting = new Map<Http2Session | undefined, Start[]>();
  #count = 0;
  #started = 0;

  /** Starts a call at once, or in a later iteration. Returns false if too many wait. */
  add(session: Http2Session | undefined, start: Start): boolean {
    if (this.#started === 0) setImmediate(() => this.#continue());
    if (this.#started < maxStarts) {
      this.#started += 1;
      start();
      return true;
    }
    if (this.#count >= maxWaiting) return false;
    this.#count += 1;
    const starts = this.#waiting.get(session);
    if (starts === undefined) this.#waiting.set(session, [start]);
    else starts.push(start);
    return true;
  }

  #continue(): void {
    this.#started = 0;
    while (this.#started < maxStarts) {
      const [next] = this.#waiting;
      if (next === undefined) break;
      const [session, starts] = next;
      const start = starts.shift();
      this.#waiting.delete(session);
      if (starts.length > 0) this.#waiting.set(session, starts);
      this.#started += 1;
      this.#count -= 1;
      start?.();
    }
    if (this.#started > 0) setImmediate(() => this.#continue());
  }
}
