/** Options of Google's generated clients for a stand-in on this machine, which speaks gRPC without TLS. */
import { credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { PassThroughClient } from 'google-auth-library';

/** @param host `name:port` */
export function createEmulatorOptions(host: string): {
  apiEndpoint: string;
  port: number;
  sslCreds: ChannelCredentials;
  authClient: PassThroughClient;
} {
  const { hostname, port } = new URL(`http://${host}`);
  return {
    apiEndpoint: hostname,
    port: Number(port),
    sslCreds: credentials.createInsecure(),
    // Without it the client looks for credentials, which the stand-in does not ask for.
    authClient: new PassThroughClient(),
  };
}
