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

interface Call {
  start: () => void;
  refuse: () => void;
}

/** Wraps the listeners that the server has now. */
export function boundCallStarts(server: Http2Server): void {
  const listeners = server.listeners('stream');
  const starts = new CallStarts();
  server.removeAllListeners('stream');
  server.on('stream', (stream: ServerHttp2Stream, ...rest: unknown[]) => {
    // A call may fail before it has started.
    stream.on('error', ignore);
    starts.add(stream.session, {
      start: () => {
        if (stream.destroyed || stream.closed) return;
        for (const listener of listeners) Reflect.apply(listener, server, [stream, ...rest]);
      },
      refuse: () => {
        countRefusal('receiving');
        // The client may send it again (RFC 9113, section 8.7).
        stream.close(constants.NGHTTP2_REFUSED_STREAM);
      },
    });
  });
}

function ignore(): void {}

export class CallStarts {
  /** Calls that wait, by connection. The first connection is next. */
  readonly #waiting = new Map<Http2Session | undefined, Call[]>();
  #count = 0;
  #started = 0;

  /** Starts a call at once, or in a later iteration. If too many wait, the last call of the connection with most is refused. */
  add(session: Http2Session | undefined, call: Call): void {
    if (this.#started === 0) setImmediate(() => this.#continue());
    if (this.#started < maxStarts) {
      this.#started += 1;
      call.start();
      return;
    }
    const calls = this.#waiting.get(session);
    if (calls === undefined) this.#waiting.set(session, [call]);
    else calls.push(call);
    if (this.#count < maxWaiting) this.#count += 1;
    else this.#refuseOne();
  }

  #refuseOne(): void {
    const [first, ...others] = this.#waiting;
    if (first === undefined) return;
    const [session, calls] = others.reduce(
      (most, one) => (one[1].length > most[1].length ? one : most),
      first,
    );
    calls.pop()?.refuse();
    if (calls.length === 0) this.#waiting.delete(session);
  }

  #continue(): void {
    this.#started = 0;
    while (this.#started < maxStarts) {
      const [next] = this.#waiting;
      if (next === undefined) break;
      const [session, calls] = next;
      const call = calls.shift();
      this.#waiting.delete(session);
      if (calls.length > 0) this.#waiting.set(session, calls);
      this.#started += 1;
      this.#count -= 1;
      call?.start();
    }
    if (this.#started > 0) setImmediate(() => this.#continue());
  }
}
