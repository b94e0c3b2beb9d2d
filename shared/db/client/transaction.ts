/** Transactions of several statements. Prefer a single statement: it holds its locks for no round trip. */
import type { Transaction } from 'kysely';
import type { Database } from '../schema/schema.ts';
import { repeatAfterDeadlock } from './deadlock.ts';
import type { Db } from './pool.ts';

/** Runs a transaction, and again if it met a deadlock. The pool limits its time (client/prepared.ts). */
export function runTransaction<T>(db: Db, run: (trx: Transaction<Database>) => Promise<T>): Promise<T> {
  return repeatAfterDeadlock(() => db.transaction().execute(run));
}
