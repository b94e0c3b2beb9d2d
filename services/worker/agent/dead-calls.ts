/**
 * Ends calls on silently dead connections, once their server is back. A server that works for minutes before
 * it answers looks the same, so the server of a silent call is asked on new connections:
 *
 *   POST ──20 s without a byte──▶ silent: its server is asked every 5 s
 *                                   ├─ it answers each time: it works on the call, which continues
 *                                   └─ it does not answer twice in a row, nor any earlier call, and then does: it was
 *                                      away. All calls fail that were made before its return
 *
 * A server that works on one call at a time answers an earlier call first. It was busy, not away.
 *
 * Other requests are not watched: a stream of notifications may be silent for hours.
 */
import { Client, type Dispatcher } from 'undici';

export interface DeadCallOptions {
  connect: NonNullable<Client.Options['connect']>;
  /** How long a call may be silent before its server is asked. Default: 20 s. */
  silenceMs?: number;
  /** The time between two questions, and the limit for an answer. Default: 5 s. */
  probeMs?: number;
}

/** The code is undici's for connections that were closed. */
class DeadConnectionError extends Error {
  readonly code = 'UND_ERR_SOCKET';
  constructor() {
    super('the server was away during the call');
  }
}

/** Questions without an answer in a row after which a server counts as away. */
const failuresWhenAway = 2;

interface Call {
  controller: Dispatcher.DispatchController;
  readonly sentAt: number;
  /** When it was sent, or the last byte arrived. */
  heardAt: number;
}

export function endDeadCalls(options: DeadCallOptions): Dispatcher.DispatcherComposeInterceptor {
  const { silenceMs = 20_000 } = options;
  const servers = new Map<string, Server>();

  function getServer(origin: string): Server {
    const server = servers.get(origin) ?? new Server(origin, options);
    servers.set(origin, server);
    return server;
  }

  return (dispatch) => (request, handler) => {
    const { method, origin } = request;
    if (method !== 'POST' || origin === undefined) return dispatch(request, handler);
    const server = getServer(String(origin));
    let call: Call | undefined;
    let timer: NodeJS.Timeout | undefined;
    const heard = (): void => {
      if (call === undefined) return;
      timer?.refresh();
      server.heard(call);
    };
    const end = (): void => {
      clearTimeout(timer);
      if (call !== undefined) server.remove(call);
      call = undefined;
    };
    return dispatch(request, {
      onRequestStart: (controller, context) => {
        end();
        const now = performance.now();
        const started = { controller, sentAt: now, heardAt: now };
        call = started;
        server.add(started);
        timer = setTimeout(() => server.ask(started), silenceMs).unref();
        handler.onRequestStart?.(controller, context);
      },
      onRequestUpgrade: (controller, status, headers, socket) => {
        end();
        handler.onRequestUpgrade?.(controller, status, headers, socket);
      },
      onResponseStarted: () => handler.onResponseStarted?.(),
      onResponseStart: (controller, status, headers, message) => {
        heard();
        handler.onResponseStart?.(controller, status, headers, message);
      },
      onResponseData: (controller, chunk) => {
        heard();
        handler.onResponseData?.(controller, chunk);
      },
      onResponseEnd: (controller, trailers) => {
        end();
        handler.onResponseEnd?.(controller, trailers);
      },
      onResponseError: (controller, error) => {
        end();
        handler.onResponseError?.(controller, error);
      },
      onBodySent: (chunk) => handler.onBodySent?.(chunk),
      onRequestSent: () => handler.onRequestSent?.(),
    });
  };
}

/** A server, and the calls of it that are in flight. */
class Server {
  readonly #origin: string;
  readonly #connect: DeadCallOptions['connect'];
  readonly #probeMs: number;
  readonly #calls = new Set<Call>();
  readonly #silent = new Set<Call>();
  /** When the last byte of any call arrived. */
  #heardAt = -Infinity;
  #asking = false;
  /** Questions without an answer in a row, and when the first of them was asked. */
  #failures = 0;
  #awaySince = Infinity;

  constructor(origin: string, { connect, probeMs = 5_000 }: DeadCallOptions) {
    this.#origin = origin;
    this.#connect = connect;
    this.#probeMs = probeMs;
  }

  add(call: Call): void {
    this.#calls.add(call);
  }

  heard(call: Call): void {
    call.heardAt = this.#heardAt = performance.now();
    this.#silent.delete(call);
    if (call.sentAt < this.#awaySince) this.#resetFailures();
  }

  remove(call: Call): void {
    this.#calls.delete(call);
    this.#silent.delete(call);
  }

  /** Asks the server until no call is silent. */
  ask(call: Call): void {
    this.#silent.add(call);
    if (!this.#asking) void this.#askWhileSilent();
  }

  async #askWhileSilent(): Promise<void> {
    this.#asking = true;
    this.#resetFailures();
    let lastAskedAt = performance.now();
    while (this.#silent.size > 0) {
      const askedAt = performance.now();
      const answeredAt = (await this.#answers()) ? askedAt : this.#heardAt;
      if (answeredAt >= lastAskedAt) {
        if (this.#failures >= failuresWhenAway) this.#endCallsBefore(answeredAt);
        this.#resetFailures();
      } else {
        this.#failures += 1;
        this.#awaySince = Math.min(this.#awaySince, askedAt);
      }
      lastAskedAt = askedAt;
      const waitMs = askedAt + this.#probeMs - performance.now();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
    }
    this.#asking = false;
  }

  #resetFailures(): void {
    this.#failures = 0;
    this.#awaySince = Infinity;
  }

  #endCallsBefore(returnedAt: number): void {
    for (const call of this.#calls) {
      if (call.heardAt < returnedAt) call.controller.abort(new DeadConnectionError());
    }
  }

  /** Whether the server responds to a request, in any way. */
  async #answers(): Promise<boolean> {
    const client = new Client(this.#origin, { connect: this.#connect, pipelining: 0 });
    try {
      const signal = AbortSignal.timeout(this.#probeMs);
      const { body } = await client.request({ method: 'HEAD', path: '/', signal });
      await body.dump();
      return true;
    } catch {
      return false;
    } finally {
      await client.destroy();
    }
  }
}
