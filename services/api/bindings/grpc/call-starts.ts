/**
 * Starts the calls of a gRPC server a few at a time. The start of a call takes 0.2 ms, and one read of each socket may
 * bring hundreds of them; without a bound, everything else in the process would wait for all. Connections take turns.
 */
import type { Http2Server, Http2Session, ServerHttp2Stream } from 'node:http2';

/** Calls that start in one iteration of the event loop. */
const maxStarts = 16;

type Start = () => void;

/** Wraps the listeners that the server has now. */
export function boundCallStarts(server: Http2Server): void {
  const listeners = server.listeners('stream');
  const starts = new CallStarts();
  server.removeAllListeners('stream');
  server.on('stream', (stream: ServerHttp2Stream, ...rest: unknown[]) => {
    starts.add(stream.session, () => {
      if (stream.destroyed || stream.closed) return;
      for (const listener of listeners) Reflect.apply(listener, server, [stream, ...rest]);
    });
    // A call may fail before it has started.
    stream.on('error', ignore);
  });
}

function ignore(): void {}

export class CallStarts {
  /** Calls that wait, by connection. The first connection is next. */
  readonly #waiting = new Map<Http2Session | undefined, Start[]>();
  #started = 0;

  /** Starts a call at once, or in a later iteration. */
  add(session: Http2Session | undefined, start: Start): void {
    if (this.#started === 0) setImmediate(() => this.#continue());
    if (this.#started < maxStarts) {
      this.#started += 1;
      start();
      return;
    }
    const starts = this.#waiting.get(session);
    if (starts === undefined) this.#waiting.set(session, [start]);
    else starts.push(start);
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
      start?.();
    }
    if (this.#started > 0) setImmediate(() => this.#continue());
  }
}
