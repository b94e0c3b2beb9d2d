/** Bounds the bodies of requests that are answered without reading them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

const maxDiscardedBytes = 64 * 1024 * 1024;
const maxDiscardMs = 5_000;

/**
 * Reads and drops the rest of a body that is too large. Most clients read the response only after sending the
 * whole body; if the connection closes earlier, they never see it. Resolves at the end of the body, after 64
 * MiB, or after 5 s.
 */
export async function discardBody(request: IncomingMessage): Promise<void> {
  if (request.readableEnded || request.destroyed) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, maxDiscardMs);
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxDiscardedBytes) resolve();
    });
    for (const event of ['end', 'close', 'error']) request.once(event, () => resolve());
    request.once('close', () => clearTimeout(timer));
    request.resume();
  });
}

/** How long a client has to read the refusal of a request whose body is left unread. */
const maxRefusedMs = 1_000;
const unread = Symbol('body left unread');
type RequestMessage = IncomingMessage & { [unread]?: true };

/**
 * Leaves the body of a refused request unread: the client can send no more than what buffers take. Node would read and
 * drop it, which costs about as much as accepting it.
 */
export function leaveUnread(request: IncomingMessage): void {
  (request as RequestMessage)[unread] = true;
  request.pause();
  // Starts the stream, which Node otherwise drains at the end of the response.
  request.read(0);
}

/**
 * Closes the connection of an answered request whose body is not complete after 5 s: Node reads and drops the
 * rest of the body, without a bound. A client that stops sending when it has the answer can use the connection
 * again. If the body is left unread, it is closed after a second.
 */
export function boundUnreadBodies(app: FastifyInstance): void {
  app.addHook('onRequest', ({ raw }, reply, done) => {
    if (hasBody(raw)) reply.raw.on('finish', boundUnreadBody);
    done();
  });
}

/** The deadlines of connections. A connection has at most one unread body, because its next request follows the body. */
const deadlines = new WeakMap<Socket, NodeJS.Timeout>();

function boundUnreadBody(this: ServerResponse): void {
  const raw: RequestMessage = this.req;
  const { socket, complete } = raw;
  if (complete || socket.destroyed) return;
  const boundMs = raw[unread] === true ? maxRefusedMs : maxDiscardMs;
  const earlier = deadlines.get(socket);
  // One listener for each connection: a client may have thousands of requests refused over it.
  if (earlier === undefined) socket.once('close', () => clearTimeout(deadlines.get(socket)));
  else clearTimeout(earlier);
  deadlines.set(
    socket,
    setTimeout(() => raw.complete || socket.destroy(), boundMs),
  );
}

/** RFC 9112, section 6: a request has a body if it has one of these headers. */
export function hasBody({ headers }: IncomingMessage): boolean {
  const { 'content-length': length = '0', 'transfer-encoding': coding } = headers;
  return coding !== undefined || length !== '0';
}
