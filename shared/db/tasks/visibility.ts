/**
 * Conditions that limit a query to a caller's tasks (invariant 9). Every query for a caller has one of them.
 */
import { sql, type RawBuilder, type SqlBool } from 'kysely';

/** The authenticated owner, and the tenant that its request names, or the empty string. */
export interface Caller {
  tenant: string;
  owner: string;
}

/** Tasks `t` of the caller, including those that a direct answer hides. */
export function ownedBy({ tenant, owner }: Caller): RawBuilder<SqlBool> {
  return sql`t.tenant = ${tenant} and t.owner = ${owner}`;
}

/**
 * Tasks `t` that the caller sees. A direct answer hides its task, unless a caller has received it as a Task.
 */
export function visibleTo(caller: Caller): RawBuilder<SqlBool> {
  return sql`${ownedBy(caller)} and t.visible`;
}
