/** Identifies the caller for database queries (invariant 9). */
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { Caller } from '#shared/db/tasks/read.ts';
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
