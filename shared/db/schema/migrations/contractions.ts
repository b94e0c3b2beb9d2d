/**
 * The second half of migrations: it drops what only the code of earlier releases uses. `migrate` runs the first half before new code
 * starts, and `npm run admin -- contract` this half, once no older code uses the database. Append-only, as index.ts.
 *
 * A new database gets the whole first half, then this one. So nothing may come back under a name that was dropped.
 */
import type { Migration } from 'kysely/migration';

export const contractions: Record<string, Migration> = {};

/** Names the sessions of this code (pg_stat_activity), with the number of contractions that it is ready for. Without a number: none. */
export function toSessionName(name: string, ready = Object.keys(contractions).length): string {
  return ready === 0 ? name : `${name}/${ready}`;
}
