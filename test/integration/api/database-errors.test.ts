/** Errors of the database that pass, as clients of each binding see them, and what becomes of the connection. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { sql } from 'kysely';
import { openDatabase, type Db } from '#shared/db/client/pool.ts';
import { UnavailableError } from '#services/api/handler/errors.ts';
import { startApiServer } from '../../support/services/api-server.ts';
import { connectToTestDatabase } from '../../support/database/postgres.ts';

async function open(t: TestContext): Promise<Db> {
  const { url } = await connectToTestDatabase({ direct: true });
  const { db } = openDatabase({ database: { url, poolSize: 1 }, applicationName: 'test' });
  t.after(() => db.destroy());
  return db;
}

const readBackend = async (db: Db): Promise<number> => {
  const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db);
  return rows[0]!.pid;
};

/** Makes the server answer a statement with an error of this SQLSTATE. */
const raise = (db: Db, state: string) =>
  // prose-ok: a keyword of PL/pgSQL
  sql.raw(`do $$ begin raise exception 'no' using errcode = '${state}'; end $$`).execute(db);

describe('an error of the database', () => {
  const kinds = { '25006': true, '57P01': true, '08006': true, '53300': true, '53100': true, '57014': false };
  for (const [state, replaced] of Object.entries(kinds)) {
    const kept = replaced ? 'and its connection is replaced' : 'and its connection is kept';
    test(`is answered with 503 and Retry-After, ${kept}: ${state}`, async (t) => {
      const db = await open(t);
      const before = await readBackend(db);
      const getTask = async (): Promise<never> => {
        await raise(db, state);
        assert.fail('the statement fails');
      };
      const { url, bindings } = await startApiServer(t, { getTask });
      const expected = { JSONRPC: -32603, 'HTTP+JSON': 503, GRPC: 14 };
      for (const { name, call } of bindings) {
        const { error } = await call('GetTask', { id: 'x' });
        assert.deepEqual([error?.code, error?.message], [expected[name], UnavailableError.text], name);
      }
      const response = await fetch(`${url}/a2a/v1/tasks/x`, { headers: { 'a2a-version': '1.0' } });
      assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '2']);
      assert.equal((await readBackend(db)) !== before, replaced);
    });
  }
});
