/**
 * Lets a server end when its last request has ended. Closing idle connections is not enough: one that was opened and has
 * not asked for anything yet counts as busy, and would hold the drain for as long as its client likes.
 */
import type { FastifyInstance } from 'fastify';

/**
 * The application must be made with `forceCloseConnections: true`, which is what ends the connections then.
 *
 * @param boundMs for how long requests are waited for; left out: until they end
 */
export function closeAfterRequests(app: FastifyInstance, boundMs?: number): void {
  let inFlight = 0;
  let ended: () => void = () => undefined;
  const end = (): void => {
    inFlight -= 1;
    if (inFlight === 0) ended();
  };
  app.addHook('onRequest', (_request, reply, done) => {
    inFlight += 1;
    reply.raw.on('close', end);
    done();
  });
  // Requests that come from here on are answered with 503, and made again by whoever sent them.
  app.addHook('preClose', async () => {
    if (inFlight === 0) return;
    await new Promise<void>((resolve) => {
      ended = resolve;
      if (boundMs !== undefined) setTimeout(resolve, boundMs).unref();
    });
  });
}
