/**
 * Ends calls on connections that died without a word, once their server is back. A server that works for minutes before
 * it answers looks the same, so the server of a silent call is asked on new connections:
 *
 *   POST ──20 s without a byte──▶ silent: its server is asked every 5 s
 *                                   ├─ it answers each time: it works on the call, which continues
 *                                   └─ it does not answer twice in a row, nor any other call, and then does: it was away.
 *                                      All calls fail that were made before its return
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
        const started = { controller, heardAt: performance.now() };
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
    let failures = 0;
    let lastAskedAt = performance.now();
    while (this.#silent.size > 0) {
      const askedAt = performance.now();
      const answeredAt = (await this.#answers()) ? askedAt : this.#heardAt;
      const isBack = answeredAt >= lastAskedAt;
      if (isBack && failures >= failuresWhenAway) this.#endCallsBefore(answeredAt);
      failures = isBack ? 0 : failures + 1;
      lastAskedAt = askedAt;
      const waitMs = askedAt + this.#probeMs - performance.now();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
    }
    this.#asking = false;
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
