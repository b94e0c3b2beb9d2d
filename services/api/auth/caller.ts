/** An authenticated caller, and the error of one that is not. */
import type { User } from '@a2a-js/sdk/server';

/** Names in lower case, as Node and gRPC have them. */
export type RequestHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** `userName` is the owner of what the caller makes: `key:<owner>`, or `<issuer>|<subject>`. */
export type AuthenticatedCaller = Readonly<User>;

/** Credentials are missing or wrong: HTTP 401. The message is for clients and never has the credentials in it. */
export class UnauthenticatedError extends Error {
  override readonly name = 'UnauthenticatedError';
  readonly statusCode = 401;
  /** Values of `WWW-Authenticate` (RFC 9110, section 11.6.1). */
  challenges: readonly string[] = [];
}
