/**
 * Prepared statements. Planning a statement that writes a set takes longer than running it for one task (the
 * end of a turn: 4.0 ms, prepared 1.3 ms), so statements that start with the comment `-- prepared` are
 * planned once for each connection. `-- prepared, quick` also bounds the time for the answer.
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
import type { Pool, PoolClient, QueryConfig } from 'pg';
import {
  breaksConnection,
  isConnectionError,
  isPassing,
  isPoolExhausted,
  markFailedConnect,
} from './errors.ts';
import { clockColumn, type ClockReader } from './clock-readings.ts';
import { repeatAfterDeadlock } from './deadlock.ts';
import { largeWork } from '../../runtime/large-work.ts';
import type { OutageLog } from './outage-log.ts';
import type { RecentOutcomes } from './recent-outcomes.ts';

const marker = '-- prepared';
/** Its answer has a transaction's limit of time, so that a silent connection is noticed early. */
const quickMarker = '-- prepared, quick\n';

/** Copying and sending values for longer than this counts as large work. 8 MB take 10 ms. */
const largeMs = 2;

/** SQLSTATEs: the statement does not exist; its name exists already; a migration has changed its columns. */
const notRetained = new Set(['26000', '42P05', '0A000']);

/**
 * Limits of a transaction, in milliseconds. `idle`: for the next statement of the client. A client that freezes,
 * or whose connection goes silent, holds its row locks no longer than that.
 */
export interface TransactionLimits {
  idle: number;
  lock: number;
  statement: number;
  /** For the answer to a statement: after that the connection counts as silent. */
  answer: number;
}

interface PoolParts {
  outages: OutageLog;
  /** Get the outcomes of marked statements, and of connecting. */
  outcomes: Pick<RecentOutcomes, 'succeeded' | 'failed'>;
  clock: ClockReader;
  limits: TransactionLimits | undefined;
}

/** Set with the first statement of each transaction, in its round trip: a pooler may change the session between two. */
function toBegin(text: string, { idle, lock, statement }: TransactionLimits): string {
  return `${text}; set local idle_in_transaction_session_timeout = ${idle}; set local lock_timeout = ${lock}; set local statement_timeout = ${statement}`;
}

/**
 * Wraps a pool so that marked statements are prepared, that transactions have limits, that a statement that met a
 * deadlock is sent again, and that no query gets a broken connection. A connection is discarded after an error
 * that it may not survive (errors.ts). Connections that die without a word tend to die together: after one failed or
 * was silent, all older ones are discarded.
 * Every text that is sent to the database passes here, so this is where null characters are replaced, which
 * PostgreSQL's text cannot store, and where the time for sending large values is counted.
 */
export function createPreparingPool(
  pool: Pool,
  { outages, outcomes, clock, limits }: PoolParts,
): PostgresPool & { failedAt: () => number } {
  const names = new Map<string, string>();
  const clients = new WeakMap<PoolClient, { wrapped: PostgresPoolClient; openedAt: number }>();
  let retained = true;
  let lastFailureAt = -Infinity;
  let brokenAt = -Infinity;

  function getName(text: string): string {
    const known = names.get(text);
    if (known !== undefined) return known;
    const name = createHash('sha256').update(text).digest('base64url');
    names.set(text, name);
    return name;
  }

  function fail(error: unknown): void {
    brokenAt = performance.now();
    outages.failed(error);
  }

  function wrap(client: PoolClient): PostgresPoolClient {
    let inTransaction = false;
    let broken = false;
    const onFailure = (error: unknown): never => {
      if (breaksConnection(error)) {
        broken = true;
        if (isPassing(error)) fail(error);
      }
      if (isConnectionError(error)) lastFailureAt = performance.now();
      throw error;
    };
    const inLimits = (text: string, values: unknown[] = []): QueryConfig & { query_timeout?: number } => ({
      text,
      ...(values.length > 0 && { values }),
      ...(limits !== undefined && { query_timeout: limits.answer }),
    });
    const query = async (text: string, values: unknown[]) => {
      const isMarked = text.startsWith(marker);
      const run = () => {
        const startedAt = performance.now();
        const answer = send(text, values);
        const ms = performance.now() - startedAt;
        if (ms >= largeMs) largeWork.count(ms);
        return answer;
      };
      const result = await (inTransaction ? run() : repeatAfterDeadlock(run)).catch((error: unknown) => {
        if (isMarked && isPassing(error)) outcomes.failed();
        throw error;
      });
      outages.succeeded();
      if (isMarked) outcomes.succeeded();
      return result;
    };
    const send = async (text: string, values: unknown[]) => {
      // Closing the connection rolls back.
      if (broken && text === 'rollback') return { command: 'ROLLBACK' as const, rowCount: 0, rows: [] };
      if (/^(begin|start transaction)\b/.test(text)) {
        inTransaction = true;
        return client.query(inLimits(limits === undefined ? text : toBegin(text, limits))).catch(onFailure);
      }
      if (inTransaction) {
        if (/^(commit|rollback)$/.test(text)) inTransaction = false;
        return client.query(inLimits(text, values.map(toStorable))).catch(onFailure);
      }
      if (!retained || !text.startsWith(marker)) {
        return client.query(text, values.map(toStorable)).catch(onFailure);
      }
      try {
        return await client.query({
          name: getName(text),
          text,
          values: values.map(toArrayLiteral),
          ...(limits !== undefined && text.startsWith(quickMarker) && { query_timeout: limits.answer }),
        });
      } catch (error) {
        if (!notRetained.has(String((error as { code?: unknown }).code))) return onFailure(error);
        retained = false;
        return client.query(text, values.map(toStorable)).catch(onFailure);
      }
    };
    const release = (destroy: boolean): void => {
      if (destroy || inTransaction || !clock.isDue()) {
        client.release(destroy);
        return;
      }
      clock.queryWithClock(client, `select ${clockColumn}`).then(
        () => client.release(),
        () => client.release(true),
      );
    };
    // Kysely also sends cursors as queries; this pool has none.
    return {
      query: query as unknown as PostgresPoolClient['query'],
      release: (destroy) => release(destroy === true || broken),
    };
  }

  return {
    options: pool.options,
    connect: async () => {
      for (;;) {
        const client = await pool.connect().catch((error: unknown) => {
          markFailedConnect(error);
          outcomes.failed();
          // All connections of this pool were in use: this is not an outage.
          if (!isPoolExhausted(error)) fail(error);
          throw error;
        });
        let known = clients.get(client);
        if (known === undefined) {
          known = { wrapped: wrap(client), openedAt: performance.now() };
          clients.set(client, known);
        }
        if (known.openedAt >= lastFailureAt) return known.wrapped;
        client.release(true);
      }
    },
    end: () => pool.end(),
    failedAt: () => brokenAt,
  };
}

/** Control characters and the halves of surrogate pairs: JSON writes these as `\n` or `\uXXXX`. */
// oxlint-disable-next-line no-control-regex -- control characters are exactly what this finds
const special = /[\u0000-\u001f\ud800-\udfff]/;

/**
 * Writes an array of strings, numbers, booleans and nulls as a PostgreSQL array literal; leaves other values to pg. pg
 * quotes each element by itself, with two regular expressions. JSON escapes the whole array at once, and by the same
 * rules as PostgreSQL except for `special` characters.
 */
function toArrayLiteral(value: unknown): unknown {
  if (!Array.isArray(value) || !value.every(isScalar)) return toStorable(value);
  const json = JSON.stringify(value);
  // Without a backslash, nothing was escaped.
  return json.includes('\\') && value.some(isSpecial) ? toStorable(value) : `{${json.slice(1, -1)}}`;
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

function isScalar(element: unknown): boolean {
  if (typeof element === 'number') return Number.isFinite(element);
  return typeof element === 'string' || element === null || typeof element === 'boolean';
}

function isSpecial(element: unknown): boolean {
  return typeof element === 'string' && special.test(element);
}
