/**
 * Who calls: from the headers of a request, whatever the binding, to an authenticated caller (A2A section 7.4).
 *
 * An API key, where keys are taken and one is sent, decides alone: a key that is wrong is never overlooked in favour of
 * a token. Else the bearer token decides, by the one mode that reads tokens. Nothing falls back to anything.
 */
import type { AuthConfig } from '#shared/runtime/config/auth.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { apiKeyHeader, createApiKeys } from './api-keys.ts';
import { createCloudRunIam } from './cloud-run-iam.ts';
import { createJwtVerifier } from './jwt.ts';
import { UnauthenticatedError, type AuthenticatedCaller, type RequestHeaders } from './caller.ts';

/** @throws {UnauthenticatedError} for credentials that are missing or wrong */
/** @throws {UnavailableError} where they cannot be checked for the moment */
export type Authenticate = (headers: RequestHeaders) => Promise<AuthenticatedCaller>;

const anybody: AuthenticatedCaller = { isAuthenticated: false, userName: '' };

export function createAuthenticate(config: AuthConfig): Authenticate {
  if (!isAuthenticationOn(config)) return () => Promise.resolve(anybody);
  const apiKeys = config.apiKeys && createApiKeys(config.apiKeys);
  const jwt = config.jwt && createJwtVerifier(config.jwt);
  const iam = config.cloudRunIam && createCloudRunIam(config.cloudRunIam.audience);
  const challenges = [
    ...(jwt !== undefined || iam !== undefined ? ['Bearer realm="a2a"'] : []),
    ...(apiKeys !== undefined ? [`ApiKey realm="a2a", header="${apiKeyHeader}"`] : []),
  ];
  const accepted = [
    ...(apiKeys !== undefined ? [`an API key in the header ${apiKeyHeader}`] : []),
    ...(jwt !== undefined || iam !== undefined ? ['a token in the header Authorization: Bearer'] : []),
  ].join(' or ');

  return async (headers) => {
    try {
      const key = valueOf(headers, apiKeyHeader);
      if (apiKeys !== undefined && key !== undefined) return apiKeys(key);
      if (iam !== undefined) {
        // Where both are sent, Cloud Run checks this one and lets the other through unchecked.
        const token = bearerOf(headers, 'x-serverless-authorization') ?? bearerOf(headers, 'authorization');
        if (token !== undefined) return iam(token);
      }
      const token = bearerOf(headers, 'authorization');
      if (jwt !== undefined && token !== undefined) return await jwt(token);
      throw new UnauthenticatedError(`Credentials are missing: send ${accepted}`);
    } catch (error) {
      if (error instanceof UnauthenticatedError) error.challenges = challenges;
      throw error;
    }
  };
}

export function isAuthenticationOn(config: AuthConfig): boolean {
  return config.apiKeys !== undefined || config.jwt !== undefined || config.cloudRunIam !== undefined;
}

/** Says at start what an operator should know of the door that was chosen. */
export function warnOfOpenAccess(config: AuthConfig, log: Logger): void {
  if (!isAuthenticationOn(config)) {
    log.warn('AUTH_MODES is none: whoever reaches this service may use it, and sees the tasks of all');
  }
  if (config.cloudRunIam !== undefined) {
    log.warn(
      'AUTH_MODES has cloud-run-iam: identities are believed as they come, so the IAM check of Cloud Run must stand before every way to this service',
    );
  }
}

function valueOf(headers: RequestHeaders, name: string): string | undefined {
  const value = headers[name];
  if (Array.isArray(value) && value.length > 1) {
    throw new UnauthenticatedError(`The header ${name} is there more than once: send one`);
  }
  return Array.isArray(value) ? value[0] : value;
}

/** RFC 6750, section 2.1. Credentials of another scheme are as good as none. */
function bearerOf(headers: RequestHeaders, name: string): string | undefined {
  return /^bearer +(\S+) *$/i.exec(valueOf(headers, name) ?? '')?.[1];
}
