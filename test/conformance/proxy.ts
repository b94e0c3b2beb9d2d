/** What stands before the processes of the front door: each connection, or each request, goes to the next of them. */
import { createServer as createHttpServer, request as httpRequest } from 'node:http';
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ClientHttp2Session,
} from 'node:http2';
import { connect, createServer } from 'node:net';

export function takeTurns(at: number, targets: readonly number[]): void {
  const next = inTurn(targets);
  createServer((client) => {
    const target = connect(next(), '127.0.0.1');
    client.pipe(target).pipe(client);
    client.on('error', () => target.destroy());
    target.on('error', () => client.destroy());
  }).listen(at, '127.0.0.1');
}

/** Also adds headers to each request that a client cannot be made to send, unless it sends its own. */
export function takeTurnsOverHttp(
  at: number,
  targets: readonly number[],
  headers: Record<string, string>,
): void {
  const next = inTurn(targets);
  createHttpServer((incoming, outgoing) => {
    const { method, url } = incoming;
    const onward = httpRequest(
      { port: next(), host: '127.0.0.1', method, path: url, headers: { ...headers, ...incoming.headers } },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      },
    );
    onward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => onward.destroy());
    incoming.pipe(onward);
  }).listen(at, '127.0.0.1');
}

export function takeTurnsOverHttp2(
  at: number,
  targets: readonly number[],
  headers: Record<string, string>,
): void {
  const sessions = new Map<number, ClientHttp2Session>();
  const next = inTurn(targets);
  const sessionTo = (port: number): ClientHttp2Session => {
    const open = sessions.get(port);
    if (open !== undefined && !open.closed && !open.destroyed) return open;
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on('error', () => sessions.delete(port));
    sessions.set(port, session);
    return session;
  };
  const server = createHttp2Server();
  server.on('stream', (incoming, asked) => {
    const onward = sessionTo(next()).request({ ...headers, ...asked });
    onward.on('response', (answer) => {
      // A call that fails at once is answered in one block of headers.
      const alone = answer['grpc-status'] !== undefined;
      incoming.respond(answer, alone ? { endStream: true } : { waitForTrailers: true });
    });
    onward.on('trailers', (trailers) => incoming.once('wantTrailers', () => incoming.sendTrailers(trailers)));
    onward.on('error', () => incoming.close());
    incoming.on('close', () => onward.close());
    incoming.on('error', () => onward.close());
    incoming.pipe(onward).pipe(incoming);
  });
  server.listen(at, '127.0.0.1');
}

function inTurn(targets: readonly number[]): () => number {
  let next = 0;
  return () => targets[next++ % targets.length] ?? 0;
}
