/**
 * Prepared statements. Planning a statement that writes a set takes longer than running it for one task (the
 * end of a turn: 4.0 ms, prepared 1.3 ms), so statements that start with the comment `-- prepared` are
 * planned once for each connection.
 *
 * Such a plan is kept, although it is based on estimates that may come from empty tables. It must suit sets
 * and tables of any size, so rows are looked up in ways that only an index serves well (`fewRows` in
 * fragments.ts, `isRunnable` in turns/leases.ts).
 *
 * Nothing depends on a session. A statement's name is the hash of its text, so it means the same on every
 * connection that a pooler picks. If a connection does not retain prepared statements, the first error turns
 * preparing off for this process. The statement has not run by then and is sent again. Inside a transaction
 * the error would abort the transaction, so nothing is prepared there.
 */
import { createHash } from 'node:crypto';
import type { PostgresPool, PostgresPoolClient } from 'kysely';
import type { Pool, PoolClient } from 'pg';

const marker = '-- prepared\n';

/** SQLSTATEs: the statement does not exist; its name exists already; a migration has changed its columns. */
const notRetained = new Set(['26000', '42P05', '0A000']);

/**
 * Wraps a pool so that marked statements are prepared. Every text that is sent to the database passes here, so
 * this is where null characters are replaced, which PostgreSQL's text cannot store.
 */
export function createPreparingPool(pool: Pool): PostgresPool {
  const names = new Map<string, string>();
  const clients = new WeakMap<PoolClient, PostgresPoolClient>();
  let retained = true;

  function getName(text: string): string {
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
      if (!retained || inTransaction || !text.startsWith(marker))
        return client.query(text, values.map(toStorable));
      try {
        return await client.query({ name: getName(text), text, values: values.map(toArrayLiteral) });
      } catch (error) {
        if (!notRetained.has(String((error as { code?: unknown }).code))) throw error;
        retained = false;
        return client.query(text, values.map(toStorable));
      }
    };
    // Kysely also sends cursors as queries; this pool has none.
    return {
      query: query as unknown as PostgresPoolClient['query'],
      release: (destroy) => client.release(destroy),
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

/** Control characters and the halves of surrogate pairs: JSON may write these as `\n` or `\uXXXX`. */
// oxlint-disable-next-line no-control-regex -- control characters are exactly what this finds
const special = /[\u0000-\u001f\ud800-\udfff]/;

/**
 * Writes an array of strings, booleans and nulls as a PostgreSQL array literal; leaves other values to pg. pg quotes each element by itself, with two regular expressions. JSON escapes
 * the whole array at once, and by the same rules as PostgreSQL except for `special` characters.
 */
function toArrayLiteral(value: unknown): unknown {
  return Array.isArray(value) && value.every(isPlain)
    ? `{${JSON.stringify(value).slice(1, -1)}}`
    : toStorable(value);
}

/**
 * Replaces null characters in a text or in the texts of an array, and returns other values unchanged. JSON has
 * none: it escapes them.
 */
function toStorable(value: unknown): unknown {
  if (typeof value === 'string') return value.includes('\0') ? value.replaceAll('\0', '\uFFFD') : value;
  const hasNulls = (element: unknown): boolean => typeof element === 'string' && element.includes('\0');
  return Array.isArray(value) && value.some(hasNulls) ? value.map(toStorable) : value;
}

function isPlain(element: unknown): boolean {
  if (typeof element === 'string') return !special.test(element);
  return element === null || typeof element === 'boolean';
}
