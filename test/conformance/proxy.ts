/** Round-robin proxies in front of the API processes: each connection, or each request, goes to the next process. */
import { createServer as createHttpServer, request as httpRequest } from 'node:http';
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ClientHttp2Session,
} from 'node:http2';
import { connect, createServer } from 'node:net';

/** Balances TCP connections. */
export function proxyTcp(port: number, targets: readonly number[]): void {
  const next = createRoundRobin(targets);
  createServer((client) => {
    const target = connect(next(), '127.0.0.1');
    client.pipe(target).pipe(client);
    client.on('error', () => target.destroy());
    target.on('error', () => client.destroy());
  }).listen(port, '127.0.0.1');
}

/** Adds `headers` to each request, unless the client sends its own. */
export function proxyHttp(port: number, targets: readonly number[], headers: Record<string, string>): void {
  const next = createRoundRobin(targets);
  createHttpServer((incoming, outgoing) => {
    const { method, url } = incoming;
    const upstream = httpRequest(
      { port: next(), host: '127.0.0.1', method, path: url, headers: { ...headers, ...incoming.headers } },
      (response) => {
        outgoing.writeHead(response.statusCode ?? 502, response.headers);
        response.pipe(outgoing);
      },
    );
    upstream.on('error', () => outgoing.destroy());
    outgoing.on('close', () => upstream.destroy());
    incoming.pipe(upstream);
  }).listen(port, '127.0.0.1');
}

/** Balances the streams of HTTP/2 connections, and adds `headers` like `proxyHttp`. */
export function proxyHttp2(port: number, targets: readonly number[], headers: Record<string, string>): void {
  const sessions = new Map<number, ClientHttp2Session>();
  const next = createRoundRobin(targets);
  const getSession = (target: number): ClientHttp2Session => {
    const open = sessions.get(target);
    if (open !== undefined && !open.closed && !open.destroyed) return open;
    const session = connectHttp2(`http://127.0.0.1:${target}`);
    session.on('error', () => sessions.delete(target));
    sessions.set(target, session);
    return session;
  };
  const server = createHttp2Server();
  server.on('stream', (incoming, requestHeaders) => {
    const upstream = getSession(next()).request({ ...headers, ...requestHeaders });
    upstream.on('response', (response) => {
      // A call that fails immediately gets a single block of headers (trailers-only).
      const trailersOnly = response['grpc-status'] !== undefined;
      incoming.respond(response, trailersOnly ? { endStream: true } : { waitForTrailers: true });
    });
    upstream.on('trailers', (trailers) =>
      incoming.once('wantTrailers', () => incoming.sendTrailers(trailers)),
    );
    upstream.on('error', () => incoming.close());
    incoming.on('close', () => upstream.close());
    incoming.on('error', () => upstream.close());
    incoming.pipe(upstream).pipe(incoming);
  });
  server.listen(port, '127.0.0.1');
}

function createRoundRobin(targets: readonly number[]): () => number {
  let next = 0;
  return () => targets[next++ % targets.length] ?? 0;
}
