/**
 * Classifies errors of the database, and of the connection to it, by their SQLSTATE (PostgreSQL documentation,
 * appendix A). Errors without one come from pg or the socket.
 *
 * |                        | the statement ran   | may succeed later | the connection is usable |
 * |------------------------|---------------------|-------------------|--------------------------|
 * | no SQLSTATE            | unknown             | yes               | no                       |
 * | 08, 57P, 40003         | unknown             | yes               | no                       |
 * | 25006, 25P03, 53, 58   | no                  | yes               | no                       |
 * | 28, 3D, 55000          | no (cannot connect) | yes               | no                       |
 * | 40, 53200, 55P03, 57014 | no                  | yes               | yes                      |
 * | any other              | no                  | no                | yes                      |
 *
 * 25006 is a session of a server that has become read-only: a new connection may reach the new primary.
 */

import { DecryptionError } from '../../crypto/encryption.ts';
import { MasterKeyError } from '../../domain/errors.ts';

/** Returns the SQLSTATE; undefined if the error does not come from the database. */
function getSqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !socketCodes.test(code) ? code : undefined;
}

/** Codes of Node that have the form of a SQLSTATE, such as EPIPE. */
const socketCodes = /^E[A-Z]{4}$/;

const unknownOutcome = /^(08...|57P..|40003)$/;
const unusableSession = /^(08...|57P..|40003|25006|25P0[34]|53(?!200)...|58...|28...|3D...|55000)$/;
const passing = /^(08...|57...|40...|25006|25P0[34]|53...|58...|28...|3D...|55000|55P03)$/;
/** Trouble with other transactions, or with the time or memory that a statement takes. */
const contention = /^(40001|40P01|53200|55P03|57014)$/;

/** Messages of pg for connections that cannot be used, without any code. */
const connectionMessages =
  /Connection terminated|Connection ended|timeout exceeded|timeout expired|Query read timeout|Client was closed|not queryable/i;
const connectionCodes =
  /^(ECONN[A-Z]+|E(PIPE|PROTO|TIMEDOUT|AI_AGAIN|NOTFOUND|HOSTUNREACH|HOSTDOWN|NETUNREACH|NETDOWN|ADDRNOTAVAIL)|ERR_(SSL|TLS|STREAM|SOCKET)_\w+)$/;

const failedConnects = new WeakSet<Error>();

/** Returns whether the query waited too long for a connection, because others of this process used all of them. */
export function isPoolExhausted(error: unknown): boolean {
  return error instanceof Error && error.message === 'timeout exceeded when trying to connect';
}

/** Returns whether the user of the database may not run the statement. */
export function isPermissionDenied(error: unknown): boolean {
  return getSqlState(error) === '42501';
}

/** Marks an error of opening a connection, such as a refused certificate or no access token, as one of that kind. */
export function markFailedConnect(error: unknown): void {
  if (error instanceof Error) failedConnects.add(error);
}

/** Returns whether the database reported that the statement did not run. Repeating it is then safe. */
export function wasRefused(error: unknown): boolean {
  const state = getSqlState(error);
  return state !== undefined && !unknownOutcome.test(state);
}

/** Returns whether the statement certainly did not run: the database refused it, or there was no connection. */
export function certainlyDidNotRun(error: unknown): boolean {
  return wasRefused(error) || (error instanceof Error && failedConnects.has(error));
}

/**
 * Returns whether the same statement may succeed later: the database is unavailable, read-only, out of a
 * resource, or busy with another transaction, or the keys of contents cannot be reached.
 */
export function isPassing(error: unknown): boolean {
  const state = getSqlState(error);
  return (
    isConnectionError(error) ||
    (state !== undefined && passing.test(state)) ||
    error instanceof MasterKeyError
  );
}

/** Returns whether the database ran out of memory: often because of the size of what the statement reads or writes. */
export function isOutOfMemory(error: unknown): boolean {
  return getSqlState(error) === '53200';
}

/** Returns whether the database ended the transaction because it and another one waited for each other. */
export function isDeadlock(error: unknown): boolean {
  return getSqlState(error) === '40P01';
}

/** Returns whether the statement took too long, or its answer did. */
export function isTimeout(error: unknown): boolean {
  return getSqlState(error) === '57014' || (error instanceof Error && error.message === 'Query read timeout');
}

/** Returns whether the refusal may concern a single row of a set: the other rows are worth their own try. */
export function mayConcernOneRow(error: unknown): boolean {
  // Contents of one owner that cannot be encrypted or decrypted.
  if (error instanceof MasterKeyError || error instanceof DecryptionError) return true;
  const state = getSqlState(error);
  return state !== undefined && wasRefused(error) && (!passing.test(state) || contention.test(state));
}

/** Returns whether the connection must not be used again. */
export function breaksConnection(error: unknown): boolean {
  const state = getSqlState(error);
  return state === undefined || unusableSession.test(state);
}

/** Returns whether the connection itself failed or was silent, so that others may have failed as well. */
export function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (failedConnects.has(error)) return true;
  const code = (error as { code?: unknown }).code;
  return (typeof code === 'string' && connectionCodes.test(code)) || connectionMessages.test(error.message);
}
