/**
 * grpc.health.v1.Health/Check, which Cloud Run's probes and load balancers ask for. Its two messages have one field
 * each, so that they are read and written here.
 */
import {
  status as Status,
  type handleUnaryCall,
  type sendUnaryData,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import type { ReadyCheck } from '#shared/runtime/health.ts';

interface HealthRequest {
  service: string;
}

interface HealthResponse {
  status: number;
}

/** HealthCheckResponse.ServingStatus */
const serving = 1;
const notServing = 2;
const services = ['', 'lf.a2a.v1.A2AService', 'a2a.v1.A2AService'];

export const healthService = {
  check: {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    // Field 1, a string of less than 128 bytes.
    requestSerialize: ({ service }: HealthRequest) =>
      Buffer.concat([Buffer.from([0x0a, Buffer.byteLength(service)]), Buffer.from(service)]),
    requestDeserialize: (bytes: Buffer): HealthRequest => ({ service: bytes.subarray(2).toString() }),
    // Field 1, an enumeration.
    responseSerialize: ({ status }: HealthResponse) => Buffer.from([0x08, status]),
    responseDeserialize: (bytes: Buffer): HealthResponse => ({ status: bytes[1] ?? 0 }),
  },
} satisfies ServiceDefinition;

export function healthMethods(ready: ReadyCheck): { check: handleUnaryCall<HealthRequest, HealthResponse> } {
  return {
    check: ({ request: { service } }, callback) => {
      if (services.includes(service)) void answer(ready, callback);
      else callback({ code: Status.NOT_FOUND, details: `there is no service ${service}` });
    },
  };
}

async function answer(ready: ReadyCheck, callback: sendUnaryData<HealthResponse>): Promise<void> {
  let status = serving;
  try {
    await ready();
  } catch {
    status = notServing;
  }
  callback(null, { status });
}
