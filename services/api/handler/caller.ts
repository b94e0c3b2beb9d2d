/** Identifies the caller for database queries (invariant 9), and checks what its credential permits. */
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { Caller } from '#shared/db/tasks/read.ts';
import type { Scope } from '#shared/domain/scopes.ts';
import { requireScope, type AuthenticatedCaller } from '../auth/caller.ts';
import { authenticatedCaller } from './call-state.ts';
import { checkId } from './validate/message.ts';

/** Owns everything that is created without credentials while authentication is off. */
const anonymous = 'anonymous';

/** @throws {RequestMalformedError} if the tenant is too long or not printable */
export function getCaller(context: ServerCallContext): Caller {
  const { user, tenant = '' } = context;
  checkId('tenant', tenant, false);
  return {
    tenant,
    owner: user?.isAuthenticated === true ? user.userName : anonymous,
  };
}

/** @throws {Error} if the call did not come through a binding */
export function getAuthenticated(context: ServerCallContext): AuthenticatedCaller {
  const caller = authenticatedCaller.get(context);
  if (caller === undefined) throw new Error('The call has no caller');
  return caller;
}

/**
 * @param what the operation, as clients know it
 * @throws {ForbiddenError} if the credential of the caller lacks the scope
 */
export function requireCallScope(context: ServerCallContext, scope: Scope, what: string): void {
  requireScope(getAuthenticated(context), scope, what);
}
