/** The errors for credentials that are missing, wrong, or do not permit a call. */

/**
 * Credentials are missing or wrong: HTTP 401. The message is for clients and never contains the credentials.
 */
export class UnauthenticatedError extends Error {
  override readonly name = 'UnauthenticatedError';
  readonly statusCode = 401;
  /** Values of `WWW-Authenticate` (RFC 9110, section 11.6.1). */
  challenges: readonly string[] = [];
}

/** The credential is valid, but does not permit the call: HTTP 403. The message is for clients. */
export class ForbiddenError extends Error {
  override readonly name = 'ForbiddenError';
  readonly statusCode = 403;
}
