/**
 * Channel options of gRPC clients: a connection that does not answer a ping for a while is replaced. Without
 * pings, a connection that has gone silent stays in use until the kernel gives up, after many minutes.
 */
export interface Keepalive {
  'grpc.keepalive_time_ms': number;
  'grpc.keepalive_timeout_ms': number;
  'grpc.keepalive_permit_without_calls': 1;
}

/** A silent connection is replaced within 20 s. Google's servers allow a ping each 10 s. */
export const defaultKeepalive: Keepalive = {
  'grpc.keepalive_time_ms': 15_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
};
