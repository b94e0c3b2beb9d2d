/**
 * Authenticates a caller from the headers of a request, the same way for every binding (A2A section 7.4).
 *
 * If API keys are enabled and one is sent, the key alone decides: a wrong key is never ignored in favour of a
 * token. Otherwise the bearer token decides, verified by the one mode that reads tokens. Neither falls back
 * to another mode.
 */
import { allScopes, ownScopes } from '#shared/domain/scopes.ts';
import { isAuthenticationOn, type AuthConfig } from '#shared/runtime/config/auth.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { apiKeyHeader, ApiKeys } from './api-keys.ts';
import { createCloudRunIam } from './cloud-run-iam.ts';
import { createGoogleTokenVerifier } from './google-oauth.ts';
import { createJwtVerifier } from './jwt.ts';
import type { AuthenticatedCaller, RequestHeaders } from './caller.ts';
import { UnauthenticatedError } from './errors.ts';

/**
 * @throws {UnauthenticatedError} if credentials are missing or wrong
 * @throws {UnavailableError} if they cannot be verified at the moment
 */
export type Authenticate = (headers: RequestHeaders) => Promise<AuthenticatedCaller>;

const everyScope = new Set(allScopes);

export interface AuthenticateOptions {
  /** Default: the keys of the configuration. */
  apiKeys?: ApiKeys | undefined;
  /** Without authentication: whether only this machine reaches the server, so that its caller is also the operator. */
  isLocal?: boolean;
}

export function createAuthenticate(config: AuthConfig, options: AuthenticateOptions = {}): Authenticate {
  if (!isAuthenticationOn(config)) {
    const scopes = options.isLocal === true ? everyScope : ownScopes;
    return () => Promise.resolve({ isAuthenticated: false, userName: '', scopes });
  }
  const apiKeys = config.apiKeys && (options.apiKeys ?? new ApiKeys(config.apiKeys));
  const jwt = config.jwt && createJwtVerifier(config.jwt);
  const google = config.googleOAuth && createGoogleTokenVerifier(config.googleOAuth);
  const verifyToken = jwt ?? google;
  const iam = config.cloudRunIam && createCloudRunIam(config.cloudRunIam.audience);
  const operators = new Set(config.operators);
  const addScopes = (caller: AuthenticatedCaller): AuthenticatedCaller =>
    operators.has(caller.userName) ? { ...caller, scopes: everyScope } : caller;
  const challenges = [
    ...(verifyToken !== undefined || iam !== undefined ? ['Bearer realm="a2a"'] : []),
    ...(apiKeys !== undefined ? [`ApiKey realm="a2a", header="${apiKeyHeader}"`] : []),
  ];
  const accepted = [
    ...(apiKeys !== undefined ? [`an API key in the header ${apiKeyHeader}`] : []),
    ...(verifyToken !== undefined || iam !== undefined
      ? ['a token in the header Authorization: Bearer']
      : []),
  ].join(' or ');

  return async (headers) => {
    try {
      const key = getHeader(headers, apiKeyHeader);
      if (apiKeys !== undefined && key !== undefined) return apiKeys.find(key);
      const verified = iam?.(headers);
      if (verified !== undefined) return addScopes(verified);
      const token = getBearerToken(headers, 'authorization');
      if (verifyToken !== undefined && token !== undefined) return addScopes(await verifyToken(token));
      throw new UnauthenticatedError(`Credentials are missing: send ${accepted}`);
    } catch (error) {
      if (error instanceof UnauthenticatedError) error.challenges = challenges;
      throw error;
    }
  };
}

/** Logs the risks of the configured modes once, when the service starts. */
export function logAuthWarnings(config: AuthConfig, log: Logger): void {
  if (!isAuthenticationOn(config)) {
    log.warn('AUTH_MODES is none: anyone who can reach this service can use it and see all tasks');
  }
  if (config.cloudRunIam !== undefined) {
    log.warn(
      'AUTH_MODES has cloud-run-iam: tokens are not verified here, so every route to this service must pass the IAM check of Cloud Run',
    );
  }
}

function getHeader(headers: RequestHeaders, name: string): string | undefined {
  const value = headers[name];
  if (Array.isArray(value) && value.length > 1) {
    throw new UnauthenticatedError(`The header ${name} was sent ${value.length} times: send it once`);
  }
  return Array.isArray(value) ? value[0] : value;
}

/** RFC 6750, section 2.1. Credentials of another scheme count as missing. */
function getBearerToken(headers: RequestHeaders, name: string): string | undefined {
  return /^bearer +(\S+) *$/i.exec(getHeader(headers, name) ?? '')?.[1];
}
