/**
 * grpc.health.v1.Health/Check, which Cloud Run's probes and load balancers ask for. Its two messages have one field
 * each, so that they are read and written here.
 */
import { status, type handleUnaryCall, type sendUnaryData, type ServiceDefinition } from '@grpc/grpc-js';
import type { ReadyCheck } from '#shared/runtime/health.ts';

/** HealthCheckResponse.ServingStatus */
const serving = 1;
const notServing = 2;
const services = ['', 'lf.a2a.v1.A2AService', 'a2a.v1.A2AService'];

export const healthService = {
  check: {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: (service: string) => Buffer.from(service),
    // Field 1, a string of less than 128 bytes.
    requestDeserialize: (bytes: Buffer) => bytes.subarray(2).toString(),
    // Field 1, an enumeration.
    responseSerialize: (value: number) => Buffer.from([0x08, value]),
    responseDeserialize: (bytes: Buffer) => bytes[1] ?? 0,
  },
} satisfies ServiceDefinition;

export function healthMethods(ready: ReadyCheck): { check: handleUnaryCall<string, number> } {
  return {
    check: (call, callback) => {
      if (!services.includes(call.request)) {
        callback({ code: status.NOT_FOUND, details: `there is no service ${call.request}` });
        return;
      }
      void answer(ready, callback);
    },
  };
}

async function answer(ready: ReadyCheck, callback: sendUnaryData<number>): Promise<void> {
  let value = serving;
  try {
    await ready();
  } catch {
    value = notServing;
  }
  callback(null, value);
}
