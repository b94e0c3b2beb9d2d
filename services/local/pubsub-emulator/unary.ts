/** Turns a plain function into a gRPC handler: what it throws becomes the status of the answer. */
import { status, type handleUnaryCall } from '@grpc/grpc-js';
import { invalid, StatusError } from './status.ts';

export function unary<Request, Response>(
  handle: (request: Request) => Response,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    let response: Response;
    try {
      response = handle(call.request);
    } catch (error) {
      callback(asStatus(error));
      return;
    }
    callback(null, response);
  };
}

export function asStatus(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  console.error(error);
  return new StatusError(status.INTERNAL, `The local Pub/Sub emulator failed: ${String(error)}`);
}

const DEFAULT_PAGE = 100;

/** One page of `names` in order; the token is the last name of the page before. */
export function page(
  names: Iterable<string>,
  { pageSize, pageToken }: { pageSize: number; pageToken: string },
): { names: string[]; nextPageToken: string } {
  if (pageSize < 0) throw invalid(`The value for page_size is too small: ${pageSize} was given.`);
  const size = pageSize || DEFAULT_PAGE;
  const rest = [...names].filter((name) => name > pageToken).sort();
  const taken = rest.slice(0, size);
  return { names: taken, nextPageToken: rest.length > size ? (taken.at(-1) ?? '') : '' };
}
