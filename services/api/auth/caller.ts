/** Authenticated callers, and the check of what their credentials permit. */
import type { User } from '@a2a-js/sdk/server';
import type { Scope } from '#shared/domain/scopes.ts';
import type { Credential } from './credential.ts';
import { ForbiddenError } from './errors.ts';

/** Header names in lower case, as Node and gRPC deliver them. */
export type RequestHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** `userName` is the owner of everything the caller creates: `key:<owner>`, or `<issuer>|<subject>`. */
export interface AuthenticatedCaller extends Readonly<User> {
  /** The scopes of the credential; `requireScope` checks them. */
  readonly scopes: ReadonlySet<Scope>;
  /** Undefined without authentication. */
  readonly credential?: Credential;
  /** The label of the API key, if it has one. */
  readonly keyLabel?: string | undefined;
  /** The issuer of the token. */
  readonly issuer?: string | undefined;
}

/**
 * @param what the operation, as clients know it
 * @throws {ForbiddenError} if the credential of the caller lacks the scope
 */
export function requireScope({ scopes }: AuthenticatedCaller, scope: Scope, what: string): void {
  if (scopes.has(scope)) return;
  const own = [...scopes].join(', ');
  throw new ForbiddenError(`${what} needs the scope ${scope}, and your credential has only: ${own}`);
}
