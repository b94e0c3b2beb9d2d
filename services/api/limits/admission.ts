/**
 * The door of the front door, the same for every binding: who calls, and whether that is not too often. Over HTTP it
 * stands before every route but those that are public by their path: the agent card and what belongs to it under
 * /.well-known/, and /health/. A route that is added later is behind the door by itself.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Logger } from '#shared/runtime/log.ts';
import { UnauthenticatedError, type AuthenticatedCaller, type RequestHeaders } from '../auth/caller.ts';
import type { Authenticate } from '../auth/authenticate.ts';
import { RetryLaterError, TooManyRequestsError } from '../handler/errors.ts';
import type { TokenBuckets } from './token-buckets.ts';

/**
 * @param addressOf where the call comes from: callers without a name are told apart by it
 * @throws {UnauthenticatedError | RetryLaterError}
 */
export type Admit = (headers: RequestHeaders, addressOf: () => string) => Promise<AuthenticatedCaller>;

/** @param buckets undefined: there is no limit */
export function createAdmission(
  authenticate: Authenticate,
  buckets: TokenBuckets | undefined,
  log: Logger,
): Admit {
  return async (headers, addressOf) => {
    let caller: AuthenticatedCaller;
    try {
      caller = await authenticate(headers);
    } catch (error) {
      if (error instanceof UnauthenticatedError)
        log.info({ address: addressOf(), reason: error.message }, 'a caller was refused');
      if (error instanceof RetryLaterError) log.warn({ err: error }, 'credentials could not be checked');
      throw error;
    }
    const wait = buckets?.take(caller.isAuthenticated ? caller.userName : `address ${addressOf()}`) ?? 0;
    if (wait > 0) throw new TooManyRequestsError(`Too many requests: try again in ${wait} s`, wait);
    return caller;
  };
}

const admitted = Symbol('admitted caller');
type Admitted = FastifyRequest & { [admitted]?: AuthenticatedCaller };

/** For the routes that are added from here on. */
export function registerAdmission(app: FastifyInstance, admit: Admit): void {
  const door = async (request: Admitted): Promise<void> => {
    request[admitted] = await admit(request.headers, () => request.ip);
  };
  app.addHook('onRoute', (route) => {
    if (!isPublic(route.url)) route.onRequest = [door, ...[route.onRequest ?? []].flat()];
  });
}

/** Who was admitted with a request that came through the door. */
export function admittedCaller(request: FastifyRequest): AuthenticatedCaller {
  const caller = (request as Admitted)[admitted];
  if (caller === undefined) throw new Error(`${request.url} was not admitted`);
  return caller;
}

function isPublic(path: string): boolean {
  return path.startsWith('/.well-known/') || path.startsWith('/health/');
}
