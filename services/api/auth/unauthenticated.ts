/** Credentials are missing or wrong: HTTP 401. The message is for clients and never has the credentials in it. */
export class UnauthenticatedError extends Error {
  override readonly name = 'UnauthenticatedError';
  readonly statusCode = 401;
  /** Values of `WWW-Authenticate` (RFC 9110, section 11.6.1). */
  challenges: readonly string[] = [];
}
