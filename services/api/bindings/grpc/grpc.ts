/**
 * The gRPC binding (A2A section 10), for clients of 1.0 (lf.a2a.v1) and 0.3 (a2a.v1) on one port, built on
 * the services of the SDK.
 */
import type { Http2Server } from 'node:http2';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { AgentCard } from '@a2a-js/sdk';
import { LegacyA2AService, legacyGrpcService } from '@a2a-js/sdk/compat/v0_3/server/grpc';
import type { A2ARequestHandler } from '@a2a-js/sdk/server';
import { A2AService, grpcService } from '@a2a-js/sdk/server/grpc';
import type { ReadyCheck } from '#shared/runtime/health.ts';
import type { Logger } from '#shared/runtime/log.ts';
import type { Admit } from '../../limits/admission.ts';
import { closeUnusedConnections, limitConnections, type ConnectionLimits } from '../../limits/connections.ts';
import type { ByteRates } from '#shared/runtime/byte-rates.ts';
import type { Receiving } from '../../limits/receiving.ts';
import type { LargeWork } from '#shared/runtime/large-work.ts';
import { supportsV03 } from '../call-context.ts';
import { createCallAdmission } from './call-admission.ts';
import { boundCallStarts } from './call-starts.ts';
import { withEncodedRequests } from './decode.ts';
import { createGuard } from './guarded-call.ts';
import { addHealthService, healthPath } from './health.ts';
import { createServiceOptions } from './services.ts';

export interface GrpcParts {
  handler: A2ARequestHandler;
  card: AgentCard;
  admitCaller: Admit;
  receiving: Receiving;
  /** Undefined: no limit. */
  byteRates?: ByteRates | undefined;
  largeWork: LargeWork;
  connections: ConnectionLimits;
  /** Number of proxies in front whose X-Forwarded-For is trusted, counted from the nearest. */
  trustedProxies: number;
  ready: ReadyCheck;
  host: string;
  /** 0: any free port. */
  port: number;
  bodyLimitBytes: number;
  /** Instead of the defaults below. */
  timeouts?: Partial<GrpcTimeouts> | undefined;
  log: Logger;
}

export interface GrpcListener {
  readonly port: number;
  /** Resolves when the calls in flight have been answered, or have been cut off after `closeMs`. */
  close(): Promise<void>;
}

/** In milliseconds. */
export interface GrpcTimeouts {
  /** From the start of a connection to its first call. */
  callMs: number;
  /** For the client to send its message. */
  receiveMs: number;
  /** For the client to take one message. */
  sendMs: number;
  /** For the calls in flight when the server closes. */
  closeMs: number;
}

const defaultTimeouts: GrpcTimeouts = {
  callMs: 15_000,
  receiveMs: 25_000,
  sendMs: 60_000,
  closeMs: 3000,
};

/**
 * A connection that is too old gets no new calls (GOAWAY); its open streams continue to their end. A
 * connection whose client no longer answers pings is closed. A proxy may carry the calls of many clients on
 * one connection.
 */
const connectionOptions = {
  'grpc.max_concurrent_streams': 1_000,
  'grpc.max_connection_age_ms': 3_600_000,
  'grpc.max_connection_idle_ms': 300_000,
  'grpc.keepalive_time_ms': 60_000,
  'grpc.keepalive_timeout_ms': 20_000,
  // Statistics that nothing reads.
  'grpc.enable_channelz': 0,
};

export async function listenGrpc(parts: GrpcParts): Promise<GrpcListener> {
  const { host, port } = parts;
  const timeouts = { ...defaultTimeouts, ...parts.timeouts };
  const guard = createGuard({ ...parts, ...timeouts });
  const admit = createCallAdmission(parts, (path) => path.startsWith(healthPath));
  const server = new Server({
    ...connectionOptions,
    'grpc.max_receive_message_length': parts.bodyLimitBytes,
    'grpc.max_send_message_length': -1,
    interceptors: [guard],
  });
  server.addService(withEncodedRequests(A2AService), grpcService(createServiceOptions('1.0', parts)));
  if (supportsV03(parts.card)) {
    server.addService(
      withEncodedRequests(LegacyA2AService),
      legacyGrpcService(createServiceOptions('0.3', parts)),
    );
  }
  const health = addHealthService(server, parts.ready);
  // Insecure: the platform terminates TLS in front of the process.
  const boundPort = await new Promise<number>((resolve, reject) => {
    const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  // Private in its types only: grpc-js has no option for this.
  const http2Servers = server['http2Servers'];
  for (const http2Server of http2Servers.keys()) {
    limitConnections(http2Server, parts.connections);
    closeUnusedConnections(http2Server as Http2Server, timeouts.callMs);
    boundCallStarts(http2Server as Http2Server, admit);
  }
  return {
    port: boundPort,
    close: async () => {
      health.close();
      // `forceShutdown` destroys only the connections that channelz counts.
      const timer = setTimeout(() => {
        for (const { sessions } of http2Servers.values()) for (const session of sessions) session.destroy();
      }, timeouts.closeMs);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      clearTimeout(timer);
    },
  };
}
