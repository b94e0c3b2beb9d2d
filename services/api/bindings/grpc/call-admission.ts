/**
 * Admits calls before grpc-js knows of them. A refused call costs its headers and the headers of its answer: grpc-js would
 * first create its objects for the call, and thousands of such calls at once would leave a heap to collect.
 */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
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

/** Passes on the call with `start` if it is admitted, and answers it otherwise. Never rejects. */
export type AdmitCall = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
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
  return async (stream, headers, start) => {
    stream.once('finish', () => setImmediate(() => resetUnlessReceived(stream)));
    // grpc-js answers it in the same way, for health checks over HTTP, but leaves the stream open.
    if (headers['content-type']?.startsWith('application/grpc') !== true) {
      stream.respond({ ':status': 415 }, { endStream: true });
      return;
    }
    const address = stream.session?.socket.remoteAddress ?? 'unknown';
    const getAddress = (): string => getClientAddress(address, headers, trustedProxies);
    try {
      const caller = isPublic(headers[':path'] ?? '') ? undefined : await admitCaller(headers, getAddress);
      admitted.set(stream, { caller, getAddress });
    } catch (error) {
      if (isOpen(stream)) refuse(stream, toStatus(log, error));
      return;
    }
    if (isOpen(stream)) start();
  };
}

function isOpen(stream: ServerHttp2Stream): boolean {
  return !stream.destroyed && !stream.closed;
}

/** Answers with headers only ("Trailers-Only" in PROTOCOL-HTTP2.md of gRPC). */
function refuse(stream: ServerHttp2Stream, { code, details, metadata }: ReturnType<typeof toStatus>): void {
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
