/** Which tasks a caller sees (invariant 9). Every query of tasks for a caller has one of these conditions. */
import { sql, type RawBuilder, type SqlBool } from 'kysely';

/** The authenticated owner, and the tenant that its request names: empty if it names none. */
export interface Caller {
  tenant: string;
  owner: string;
}

/** Tasks `t` of the caller, including those that a direct answer hides. */
export function ownedBy({ tenant, owner }: Caller): RawBuilder<SqlBool> {
  return sql`t.tenant = ${tenant} and t.owner = ${owner}`;
}

/** Tasks `t` that the caller sees: a direct answer hides its task unless it was shown as a Task. */
export function visibleTo(caller: Caller): RawBuilder<SqlBool> {
  return sql`${ownedBy(caller)} and (t.shown or not t.direct)`;
}
