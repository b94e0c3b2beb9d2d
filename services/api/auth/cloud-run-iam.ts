/**
 * Reads the identity that Cloud Run's IAM check has verified before a request reaches this service. That is safe
 * only if no request can bypass the check. It is therefore a mode of its own that must be configured by name, and
 * nothing falls back to it. A service that `allUsers` may invoke must not use it.
 */
import { readCloudRunToken } from '#shared/gcp/cloud-run-token.ts';
import type { AuthenticatedCaller, RequestHeaders } from './caller.ts';
import { UnauthenticatedError } from './errors.ts';
import { toCaller } from './token-caller.ts';

const issuers = ['https://accounts.google.com'];

/**
 * @param audiences the accepted values of the claim `aud`
 * @returns a function that returns undefined if no token was sent
 */
export function createCloudRunIam(
  audiences: readonly string[],
): (headers: RequestHeaders) => AuthenticatedCaller | undefined {
  return (headers) => {
    const token = readCloudRunToken(headers, { issuers, audiences });
    if (token === undefined) return undefined;
    if ('problem' in token) throw new UnauthenticatedError(token.problem);
    return toCaller(token.claims);
  };
}
