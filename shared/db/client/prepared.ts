/**
 * Prepared statements. To plan a statement that writes a set takes longer than to run it for one task (the end of a turn:
 * 4.0 ms, prepared 1.3), so what begins with the comment `-- prepared` is planned once for each connection.
 *
 * Such a plan must be good for a set of any size and for tables of any size: it is made by guesses, perhaps while the
 * tables are empty, and kept. Rows are therefore looked up in a way that only an index can serve well (`fewRows`
 * and `isRunnable` in fragments.ts).
 *
 * Nothing depends on a session. A name is the hash of its statement, so that it means the same on whichever connection a
 * pooler picks; and where statements are not kept, the first complaint, which comes before anything was done, ends the
 * preparePool for this process. Within a transaction it would end that too: there, nothing is prepared.
 */
import { createHash } from 'node:crypto';
import type { PostgresPool, PostgresPoolClient } from 'kysely';
import type { Pool, PoolClient } from 'pg';
import { arrayParameter } from './array-parameter.ts';

const mark = '-- prepared\n';

/** No such statement; a statement of that name already; a statement whose columns a migration has changed. */
const notKept = new Set(['26000', '42P05', '0A000']);

/** A pool that prepares the statements that are marked. */
export function preparePool(pool: Pool): PostgresPool {
  const names = new Map<string, string>();
  const clients = new WeakMap<PoolClient, PostgresPoolClient>();
  let kept = true;

  function nameOf(text: string): string {
    const known = names.get(text);
    if (known !== undefined) return known;
    const name = createHash('sha256').update(text).digest('base64url');
    names.set(text, name);
    return name;
  }

  function wrap(client: PoolClient): PostgresPoolClient {
    let inTransaction = false;
    const query = async (text: string, values: unknown[]) => {
      if (/^(begin|start transaction)\b/.test(text)) inTransaction = true;
      else if (/^(commit|rollback)$/.test(text)) inTransaction = false;
      if (!kept || inTransaction || !text.startsWith(mark)) return client.query(text, values);
      try {
        return await client.query({ name: nameOf(text), text, values: values.map(arrayParameter) });
      } catch (error) {
        if (!notKept.has(String((error as { code?: unknown }).code))) throw error;
        kept = false;
        return client.query(text, values);
      }
    };
    // Kysely also knows queries that are cursors, and has none of this pool.
    return {
      query: query as unknown as PostgresPoolClient['query'],
      release: (gone) => client.release(gone),
    };
  }

  return {
    options: pool.options,
    connect: async () => {
      const client = await pool.connect();
      const known = clients.get(client);
      if (known !== undefined) return known;
      const wrapped = wrap(client);
      clients.set(client, wrapped);
      return wrapped;
    },
    end: () => pool.end(),
  };
}
