/** The HTTP server of a service: how it is created, and how it closes. */
import { fastify, type FastifyInstance, type FastifyServerOptions } from 'fastify';

/**
 * No route has a schema for Fastify to compile. Without its compilers, which it would load anyway, the server
 * starts 40 ms sooner.
 */
const noCompiler = () => () => {
  throw new Error('Routes must not have schemas');
};

/**
 * Deadlines of a request, in milliseconds: its headers, also on a connection that sends nothing, and the whole
 * of it. Node checks them at an interval: with its default of 30 s, a client that sends a byte now and then could stay
 * for 55 s. They do not limit the response.
 */
const headersTimeout = 15_000;
const requestTimeout = 25_000;
const connectionsCheckingInterval = 1_000;

export function createServer(options: FastifyServerOptions = {}): FastifyInstance {
  return fastify({
    requestTimeout,
    // Node would use the first of two Authorization headers, and a proxy in front may have checked the other one.
    http: { headersTimeout, connectionsCheckingInterval, joinDuplicateHeaders: true },
    ...options,
    forceCloseConnections: true,
    schemaController: {
      compilersFactory: { buildValidator: noCompiler, buildSerializer: noCompiler },
    },
  });
}

/**
 * Makes `app.close()` wait for the requests in flight and then close every connection
 * (`forceCloseConnections`). Closing only idle connections is not enough: a connection that has not sent a
 * request yet counts as busy, and would delay the drain for as long as the client keeps it open.
 *
 * @param boundMs longest wait for requests in flight; unbounded if undefined
 */
export function closeAfterRequests(app: FastifyInstance, boundMs?: number): void {
  let inFlight = 0;
  let allEnded: () => void = () => undefined;
  const onRequestEnd = (): void => {
    inFlight -= 1;
    if (inFlight === 0) allEnded();
  };
  app.addHook('onRequest', (_request, reply, done) => {
    inFlight += 1;
    reply.raw.on('close', onRequestEnd);
    done();
  });
  // Later requests are answered with 503, and clients retry them.
  app.addHook('preClose', async () => {
    if (inFlight === 0) return;
    await new Promise<void>((resolve) => {
      allEnded = resolve;
      if (boundMs !== undefined) setTimeout(resolve, boundMs).unref();
    });
  });
}
