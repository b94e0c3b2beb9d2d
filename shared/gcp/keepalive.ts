/**
 * Channel options of gRPC clients: a connection that does not answer a ping for a while is replaced. Without
 * pings, a connection that has gone silent stays in use until the kernel gives up, after many minutes.
 */
export interface Keepalive {
  'grpc.keepalive_time_ms': number;
  'grpc.keepalive_timeout_ms': number;
  'grpc.keepalive_permit_without_calls': 1;
}

/** Channel options of clients that open connections again soon, and share none with the client that they replace. */
export const reconnectOptions = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 500,
  'grpc.max_reconnect_backoff_ms': 5_000,
} as const;

/** How long the handshakes of a new connection may take, in milliseconds. */
export function getHandshakeMs(keepalive: Keepalive): number {
  return 2 * keepalive['grpc.keepalive_timeout_ms'];
}

/** A silent connection is replaced within 20 s. Google's servers allow a ping each 10 s. */
export const defaultKeepalive: Keepalive = {
  'grpc.keepalive_time_ms': 15_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
};
