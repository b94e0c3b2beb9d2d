/** The gRPC parts that the emulators share: binding a server, unary handlers and list pages. */
import { ServerCredentials, status, type handleUnaryCall, type Server } from '@grpc/grpc-js';
import { invalid, StatusError } from './status.ts';

export const loopbackAddress = '127.0.0.1';

/** Binds the server to a loopback port (0: any free port) and resolves to that port. */
export function bindServer(server: Server, port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.bindAsync(`${loopbackAddress}:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
    if (error === null) resolve(bound);
    else reject(error);
  });
  return promise;
}

/** Turns a plain function into a gRPC handler. Errors that it throws become the status of the response. */
export function createUnaryHandler<Request, Response>(
  handle: (request: Request) => Response,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    let response: Response;
    try {
      response = handle(call.request);
    } catch (error) {
      callback(toStatusError(error));
      return;
    }
    callback(null, response);
  };
}

export function toStatusError(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  console.error(error);
  return new StatusError(status.INTERNAL, `The emulator failed: ${String(error)}`);
}

export interface PageRequest {
  pageSize?: number | null | undefined;
  pageToken?: string | null | undefined;
}

/**
 * Returns one page of `names` in alphabetical order. The page token is the last name of the previous page.
 *
 * @param sizes.fallback the page size if the request has none
 * @throws {StatusError} INVALID_ARGUMENT for a negative page size
 */
export function getPage(
  names: Iterable<string>,
  { pageSize, pageToken }: PageRequest,
  sizes: { fallback: number; max?: number },
): { names: string[]; nextPageToken: string } {
  const requested = pageSize ?? 0;
  if (requested < 0) throw invalid(`page_size must not be negative, but is ${requested}.`);
  const size = Math.min(requested || sizes.fallback, sizes.max ?? Infinity);
  const rest = [...names].filter((name) => name > (pageToken ?? '')).sort();
  const taken = rest.slice(0, size);
  return { names: taken, nextPageToken: rest.length > size ? (taken.at(-1) ?? '') : '' };
}
