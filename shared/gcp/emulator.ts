/** Options that point Google's generated clients at a local emulator, which speaks gRPC without TLS. */
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
    // Without it the client would look for Google credentials, which emulators do not need.
    authClient: new PassThroughClient(),
  };
}
