/**
 * Admits calls before grpc-js knows of them. A refused call costs its headers and the headers of its answer: grpc-js would
 * first create its objects for the call, and thousands of such calls at once would leave a heap to collect.
 */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { Metadata, status as Status } from '@grpc/grpc-js';
import type { AuthenticatedCaller } from '../../auth/caller.ts';
import type { Admit } from '../../limits/admission.ts';
import { getClientAddress } from '../../limits/client-address.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { toStatus } from './errors.ts';

export interface AdmissionParts {
  admitCaller: Admit;
  /** Number of proxies in front whose X-Forwarded-For is trusted, counted from the nearest. */
  trustedProxies: number;
  log: Logger;
}

export interface AdmittedCall {
  /** Undefined if the method needs no credentials. */
  caller: AuthenticatedCaller | undefined;
  getAddress: () => string;
}

/**
 * Passes on the call with `start` if it is admitted, and answers it otherwise. Never rejects.
 *
 * @param receivedAt when the call arrived, by `performance.now()`: its time limit includes the wait
 */
export type AdmitCall = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  receivedAt: number,
  start: () => void,
) => Promise<void>;

const admitted = new WeakMap<ServerHttp2Stream, AdmittedCall>();

/** @throws {Error} if the call was not admitted */
export function getAdmittedCall(stream: ServerHttp2Stream): AdmittedCall {
  const call = admitted.get(stream);
  if (call === undefined) throw new Error('The call was not admitted');
  return call;
}

/** @param isPublic whether the method with this path requires no credentials */
export function createCallAdmission(parts: AdmissionParts, isPublic: (path: string) => boolean): AdmitCall {
  const { admitCaller, trustedProxies, log } = parts;

  /** Resolves to the status with which the call is refused. */
  const decide = async (
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    receivedAt: number,
  ): Promise<Refusal | undefined> => {
    const address = stream.session?.socket.remoteAddress ?? 'unknown';
    const getAddress = (): string => getClientAddress(address, headers, trustedProxies);
    try {
      const caller = isPublic(headers[':path'] ?? '') ? undefined : await admitCaller(headers, getAddress);
      admitted.set(stream, { caller, getAddress });
    } catch (error) {
      return toStatus(log, error);
    }
    return shortenTimeout(headers, performance.now() - receivedAt) ? undefined : tooLate;
  };

  return async (stream, headers, receivedAt, start) => {
    try {
      stream.once('finish', () => setImmediate(() => resetUnlessReceived(stream)));
      // grpc-js answers 415 too, but leaves the stream open.
      if (headers['content-type']?.startsWith('application/grpc') !== true) {
        stream.respond({ ':status': 415 }, { endStream: true });
        return;
      }
      const refusal = await decide(stream, headers, receivedAt);
      if (stream.destroyed || stream.closed) return;
      if (refusal === undefined) start();
      else refuse(stream, refusal);
    } catch (error) {
      log.error({ err: error }, 'a gRPC call was not answered');
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  };
}

type Refusal = ReturnType<typeof toStatus>;

const tooLate: Refusal = {
  code: Status.DEADLINE_EXCEEDED,
  details: 'The call waited for longer than its timeout',
  metadata: new Metadata(),
};

/** Milliseconds of the units of `grpc-timeout` (PROTOCOL-HTTP2.md of gRPC). */
const timeoutUnits: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/**
 * Takes the time for which a call has waited off its timeout, from which grpc-js counts only now.
 *
 * @returns false if nothing is left
 */
function shortenTimeout(headers: IncomingHttpHeaders, waitedMs: number): boolean {
  const [, digits = '', unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(String(headers['grpc-timeout'])) ?? [];
  const left = Math.ceil(Number(digits) * (timeoutUnits[unit] ?? NaN) - waitedMs);
  if (left <= 0) return false;
  // Eight digits are the most. A timeout of more than a day does not need to be exact.
  if (left < 1e8) headers['grpc-timeout'] = `${left}m`;
  return true;
}

/** Answers with headers only ("Trailers-Only" in PROTOCOL-HTTP2.md of gRPC). */
function refuse(stream: ServerHttp2Stream, { code, details, metadata }: Refusal): void {
  const headers = {
    ':status': 200,
    'content-type': 'application/grpc+proto',
    'grpc-status': code,
    'grpc-message': encodeURI(details.toWellFormed()),
    ...metadata.toHttp2Headers(),
  };
  stream.respond(headers, { endStream: true });
}

/**
 * Resets the stream of an answered call whose client has not sent everything, as RFC 9113, section 8.1 allows; otherwise
 * it would stay open for as long as the client likes.
 */
function resetUnlessReceived(stream: ServerHttp2Stream): void {
  if (!stream.readableEnded && !stream.destroyed) stream.close(constants.NGHTTP2_NO_ERROR);
}
