/** Transactions of several statements. Prefer a single statement: it holds its locks for no round trip. */
import type { Transaction } from 'kysely';
import type { Database } from '../schema/schema.ts';
import { isDeadlock } from './errors.ts';
import type { Db } from './pool.ts';

/** Runs a transaction, and once more if it met a deadlock. The pool limits its time (client/prepared.ts). */
export async function runTransaction<T>(db: Db, run: (trx: Transaction<Database>) => Promise<T>): Promise<T> {
  try {
    return await db.transaction().execute(run);
  } catch (error) {
    if (!isDeadlock(error)) throw error;
    return db.transaction().execute(run);
  }
}
