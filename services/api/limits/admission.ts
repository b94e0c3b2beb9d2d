/**
 * Admits calls: authenticates the caller, then applies its rate limit. All bindings share it. Over HTTP it
 * runs before every route except those whose path is public: /.well-known/ (the agent card and its keys) and
 * /health/. A route that is added later is protected by default.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Logger } from '#shared/runtime/log.ts';
import { UnauthenticatedError, type AuthenticatedCaller, type RequestHeaders } from '../auth/caller.ts';
import type { Authenticate } from '../auth/authenticate.ts';
import { RetryLaterError, TooManyRequestsError } from '../handler/errors.ts';
import type { TokenBuckets } from './token-buckets.ts';

/**
 * @param getAddress returns the address of the client, which distinguishes callers without a name
 * @throws {UnauthenticatedError | RetryLaterError}
 */
export type Admit = (headers: RequestHeaders, getAddress: () => string) => Promise<AuthenticatedCaller>;

/** @param buckets undefined: no rate limit */
export function createAdmission(
  authenticate: Authenticate,
  buckets: TokenBuckets | undefined,
  log: Logger,
): Admit {
  return async (headers, getAddress) => {
    let caller: AuthenticatedCaller;
    try {
      caller = await authenticate(headers);
    } catch (error) {
      if (error instanceof UnauthenticatedError) {
        log.info({ address: getAddress(), reason: error.message }, 'caller refused');
      }
      if (error instanceof RetryLaterError) log.warn({ err: error }, 'credentials could not be verified');
      throw error;
    }
    const wait = buckets?.take(caller.isAuthenticated ? caller.userName : `address ${getAddress()}`) ?? 0;
    if (wait > 0) throw new TooManyRequestsError(`Too many requests: try again in ${wait} s`, wait);
    return caller;
  };
}

const admitted = Symbol('admitted caller');
type AdmittedRequest = FastifyRequest & { [admitted]?: AuthenticatedCaller };

/** Protects the routes that are registered after this call. */
export function registerAdmission(app: FastifyInstance, admit: Admit): void {
  const admitRequest = async (request: AdmittedRequest): Promise<void> => {
    request[admitted] = await admit(request.headers, () => request.ip);
  };
  app.addHook('onRoute', (route) => {
    if (!isPublic(route.url)) route.onRequest = [admitRequest, ...[route.onRequest ?? []].flat()];
  });
}

/** @throws {Error} if the route of the request is public */
export function getAdmittedCaller(request: FastifyRequest): AuthenticatedCaller {
  const caller = (request as AdmittedRequest)[admitted];
  if (caller === undefined) throw new Error(`${request.url} was not admitted`);
  return caller;
}

function isPublic(path: string): boolean {
  return path.startsWith('/.well-known/') || path.startsWith('/health/');
}
