/**
 * A stand-in for Google Cloud Pub/Sub that the real client libraries talk to over plaintext gRPC when
 * `PUBSUB_EMULATOR_HOST` names it. What it does, it does as the service does (the contract suite in
 * `test/integration/local/pubsub-contract.test.ts` holds it to that); what it does not do (ordering, exactly-once, schemas,
 * snapshots, exports) it refuses. Everything is in memory and ends with the process.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { Agent } from 'undici';
import { Broker, type FateOf } from './broker/broker.ts';
import { TokenIssuer } from './oidc.ts';
import { publisherHandlers } from './publisher.ts';
import { subscriberHandlers } from './subscriber/subscriber.ts';
import { loadServices } from './wire.ts';

/** More than a request may hold, so that what is too large is refused with a reason. */
const MAX_FRAME_BYTES = 32 * 1024 * 1024;
const LOOPBACK = '127.0.0.1';

export interface PubSubEmulator {
  /** For `PUBSUB_EMULATOR_HOST`. */
  host: string;
  /** The public keys of the tokens that pushes carry. */
  jwksUrl: string;
  /** Ends all streams at once; what they held is gone. */
  close(): Promise<void>;
}

/** Ports of 0 (the default) take free ones; `fateOf` has messages go wrong. */
export async function startPubSubEmulator(
  ports: { port?: number; jwksPort?: number; fateOf?: FateOf } = {},
): Promise<PubSubEmulator> {
  const tokens = new TokenIssuer();
  const http = new Agent({ pipelining: 1 });
  const broker = new Broker({ http, tokens }, ports.fateOf);

  const server = new Server({
    'grpc.max_receive_message_length': MAX_FRAME_BYTES,
    'grpc.max_send_message_length': MAX_FRAME_BYTES,
  });
  const { publisher, subscriber } = loadServices();
  server.addService(publisher, publisherHandlers(broker));
  server.addService(subscriber, subscriberHandlers(broker));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${LOOPBACK}:${ports.port ?? 0}`, ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(error);
      else resolve(bound);
    });
  });

  const keys = createServer((_request, response) => {
    void tokens.jwks().then((jwks) => {
      response.setHeader('content-type', 'application/json').end(JSON.stringify(jwks));
    });
  });
  keys.listen(ports.jwksPort ?? 0, LOOPBACK);
  await once(keys, 'listening');

  return {
    host: `${LOOPBACK}:${port}`,
    jwksUrl: `http://${LOOPBACK}:${(keys.address() as AddressInfo).port}/oauth2/v3/certs`,
    async close() {
      broker.close();
      server.forceShutdown();
      keys.closeAllConnections();
      keys.close();
      await http.destroy();
    },
  };
}
