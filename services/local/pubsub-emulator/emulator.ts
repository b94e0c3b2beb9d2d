/**
 * An emulator of Google Cloud Pub/Sub for the real client libraries, which reach it over plaintext gRPC
 * through `PUBSUB_EMULATOR_HOST`. Supported features behave as in the service: the contract suite in
 * `test/integration/local/pubsub-contract.test.ts` verifies that. Unsupported features (ordering,
 * exactly-once, schemas, snapshots, exports) are refused. All state is in memory and ends with the process.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server } from '@grpc/grpc-js';
import { Agent } from 'undici';
import { Broker, type ChooseFate } from './broker/broker.ts';
import { bindServer, loopbackAddress } from '../emulator/grpc.ts';
import { TokenIssuer } from '../emulator/oidc.ts';
import { createPublisherHandlers } from './publisher.ts';
import { createSubscriberHandlers } from './subscriber/subscriber.ts';
import { loadServices } from './wire.ts';

/** Larger than the biggest valid request, so a request that is too large is refused with a clear error. */
const maxFrameBytes = 32 * 1024 * 1024;

export interface PubSubEmulator {
  /** The value for `PUBSUB_EMULATOR_HOST`. */
  host: string;
  /** Serves the public keys of the tokens that pushes carry. */
  jwksUrl: string;
  /** Ends all streams immediately. All messages are lost. */
  close(): Promise<void>;
}

export interface PubSubEmulatorOptions {
  /** For gRPC. Default: any free port. */
  port?: number;
  /** For the public keys. Default: any free port. */
  jwksPort?: number;
  /** Loses, repeats or delays messages. Default: all are delivered. */
  chooseFate?: ChooseFate;
}

export async function startPubSubEmulator(options: PubSubEmulatorOptions = {}): Promise<PubSubEmulator> {
  const tokens = new TokenIssuer('pubsub-emulator');
  const http = new Agent({ pipelining: 1 });
  const broker = new Broker({ http, tokens }, options.chooseFate);

  const server = new Server({
    'grpc.max_receive_message_length': maxFrameBytes,
    'grpc.max_send_message_length': maxFrameBytes,
  });
  const { publisher, subscriber } = loadServices();
  server.addService(publisher, createPublisherHandlers(broker));
  server.addService(subscriber, createSubscriberHandlers(broker));
  const port = await bindServer(server, options.port ?? 0);

  const keys = createServer((_request, response) => {
    void tokens.jwks().then((jwks) => {
      response.setHeader('content-type', 'application/json').end(JSON.stringify(jwks));
    });
  });
  keys.listen(options.jwksPort ?? 0, loopbackAddress);
  await once(keys, 'listening');

  return {
    host: `${loopbackAddress}:${port}`,
    jwksUrl: `http://${loopbackAddress}:${(keys.address() as AddressInfo).port}/oauth2/v3/certs`,
    async close() {
      broker.close();
      server.forceShutdown();
      keys.closeAllConnections();
      keys.close();
      await http.destroy();
    },
  };
}
