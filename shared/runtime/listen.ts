/**
 * Listens with several sockets on one port. Node accepts one connection of a listening socket in each iteration
 * of its event loop (https://github.com/nodejs/node/issues/57364). When iterations are long, one caller that
 * opens hundreds of connections would delay those of the others by as many iterations. The kernel divides new
 * connections among the sockets of a port (`reusePort`).
 */
import { once } from 'node:events';
import { createServer, type AddressInfo, type ListenOptions, type Server, type Socket } from 'node:net';
import type { FastifyInstance, FastifyListenOptions } from 'fastify';

/** At most this many connections are accepted per iteration, which takes a few milliseconds. */
const sockets = 32;

/**
 * Connections that wait to be accepted, for each socket, up to the limit of the system (net.core.somaxconn). A
 * client whose connection does not fit tries again after 1, 3, 7 and 15 s.
 */
const backlog = 4_096;

/**
 * Listens until the server closes.
 *
 * @param port 0: any free port
 * @returns the URL of the server
 * @throws {Error} `EADDRINUSE` if another process listens on the port
 */
export async function listen(
  app: FastifyInstance,
  { host, port }: { host: string; port: number },
): Promise<string> {
  if (!(await canShare(host))) return app.listen({ host, port, backlog });
  const more = Array.from({ length: sockets - 1 }, () => createListener(app.server));
  app.addHook('onClose', async () => {
    for (const server of more) server.close();
  });
  // Another process that shares its port would get some of the connections, and neither would notice.
  if (port !== 0) await probe({ host, port });
  const shared = { host, backlog, reusePort: true };
  const address = await app.listen({ ...shared, port } as FastifyListenOptions);
  const bound = (app.server.address() as AddressInfo).port;
  await Promise.all(more.map((server) => start(server, { ...shared, port: bound })));
  return address;
}

/** Only Linux divides connections, and some sandboxes do not support it. */
async function canShare(host: string): Promise<boolean> {
  if (process.platform !== 'linux') return false;
  return probe({ host, port: 0, reusePort: true }).then(
    () => true,
    () => false,
  );
}

/** Creates a server whose connections belong to another one. It has the options that Node gives to HTTP servers. */
function createListener(owner: Server): Server {
  return createServer({ allowHalfOpen: true, noDelay: true }, (socket: Socket) => {
    owner.emit('connection', socket);
  });
}

/** Binds an address and closes it again. @throws {Error} if it cannot be bound */
async function probe(options: ListenOptions): Promise<void> {
  const server = createServer();
  await start(server, options);
  server.close();
  await once(server, 'close');
}

async function start(server: Server, options: ListenOptions): Promise<void> {
  server.listen(options);
  await once(server, 'listening');
}
