/**
 * grpc.health.v1.Health for load balancers and the probes of Cloud Run, served by the package
 * grpc-health-check. The package serves stored statuses. Each call refreshes them with the readiness check
 * first, and a timer does so while a Watch is open.
 */
import { status, type handleServerStreamingCall, type handleUnaryCall, type Server } from '@grpc/grpc-js';
import { HealthImplementation, type ServingStatus } from 'grpc-health-check';
import type { ReadyCheck } from '#shared/runtime/health.ts';
import { countRefusal } from '../../limits/refusals.ts';

/** Paths of its methods start with this. They need no credentials. */
export const healthPath = '/grpc.health.v1.Health/';

/** The empty name means the whole server. */
const services = ['', 'lf.a2a.v1.A2AService', 'a2a.v1.A2AService'];
const watchIntervalMs = 5_000;
/** Open watches of this process. They need no credentials, so nothing else bounds them. */
const maxWatches = 100;

type Unary = handleUnaryCall<unknown, unknown>;
type Streaming = handleServerStreamingCall<unknown, unknown>;

export interface GrpcHealth {
  /** Reports NOT_SERVING and ends the open watches, which would hold up the shutdown of the server. */
  close(): void;
}

export function addHealthService(server: Server, ready: ReadyCheck): GrpcHealth {
  const health = new HealthImplementation();
  const watches = new Set<Parameters<Streaming>[0]>();
  let current: ServingStatus | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  function setStatus(status: ServingStatus): void {
    if (status === current) return;
    current = status;
    for (const service of services) health.setStatus(service, status);
  }

  async function refresh(): Promise<void> {
    const status = await ready().then(
      () => 'SERVING' as const,
      () => 'NOT_SERVING' as const,
    );
    if (!closed) setStatus(status);
  }

  const refreshed =
    (method: Unary): Unary =>
    (call, callback) =>
      void refresh().then(() => method(call, callback));

  const watched =
    (method: Streaming): Streaming =>
    (call) => {
      if (watches.size >= maxWatches) {
        countRefusal('health_watches');
        const details = `${maxWatches} watches are open: use Check`;
        call.emit('error', { code: status.RESOURCE_EXHAUSTED, details });
        return;
      }
      if (watches.size === 0) timer = setInterval(() => void refresh(), watchIntervalMs);
      watches.add(call);
      call.once('cancelled', () => {
        watches.delete(call);
        if (watches.size === 0) clearInterval(timer);
      });
      void refresh().then(() => {
        if (call.cancelled) return;
        method(call);
        if (closed) call.end();
      });
    };

  health.addToServer({
    addService: (definition, { check, list, watch }) =>
      server.addService(definition, {
        check: refreshed(check as Unary),
        list: refreshed(list as Unary),
        watch: watched(watch as Streaming),
      }),
  });
  return {
    close: () => {
      setStatus('NOT_SERVING');
      closed = true;
      clearInterval(timer);
      for (const call of watches) call.end();
    },
  };
}
