/** A process that dies: its statements fail from some point on, and an open transaction is rolled back. */
import type { Db } from '#shared/db/client/pool.ts';

export class EndedError extends Error {
  override readonly name = 'EndedError';
}

/** Returns a database that runs so many statements and fails all later ones. The start and end of a transaction do not count. */
export function endAfter(db: Db, statements: number): Db {
  let left = statements;
  return db.withPlugin({
    transformQuery: ({ node }) => {
      if (left <= 0) throw new EndedError();
      left -= 1;
      return node;
    },
    transformResult: ({ result }) => Promise.resolve(result),
  });
}
