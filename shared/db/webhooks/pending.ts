import { sql, type SqlBool } from 'kysely';

/**
 * Whether a delivery `d` that was found by its key is pending. `coalesce` keeps the planner from using the partial index of
 * pending deliveries, which would read all of them: by its statistics, a large table often has none.
 */
export const isPending = sql<SqlBool>`coalesce(d.state, '') = 'pending'`;
