/**
 * The audit log: who did what, when, from where, and with which result. One JSON object per line, apart from the
 * other logs: to a file, or to standard output with the field `log: "audit"`. It has ids and never contents
 * (invariant 12). An entry is written before the caller gets the answer.
 */
import { pino, type DestinationStream } from 'pino';
import { databaseNow } from './clock.ts';

export interface AuditEntry {
  /** An operation of A2A, a route such as `PUT /schedules/:id`, or `admin COMMAND`. Reads of one's own are not audited. */
  action: string;
  /** `refused`: by the rules, for example because the caller does not own the task. `failed`: by a fault of ours. */
  result: 'ok' | 'refused' | 'failed';
  /** The name of an error, or the status of an HTTP answer. */
  reason?: string | number | undefined;
  /** An owner as stored with its tasks, or the account of an administrator. */
  owner?: string | undefined;
  tenant?: string | undefined;
  keyLabel?: string | undefined;
  issuer?: string | undefined;
  /** Address of the client, as the rule for trusted proxies determines it. */
  address?: string | undefined;
  /** Ids of what the action was on. */
  target?: Readonly<Record<string, string | undefined>> | undefined;
  /** Counts and addresses that belong to the action. */
  details?: Readonly<Record<string, unknown>> | undefined;
}

export interface AuditLog {
  /** Writes an entry at once. */
  write(entry: AuditEntry): void;
  /**
   * Writes an entry together with others of this iteration of the event loop: a system call for each would cost more
   * than the entry. Resolves when it is written.
   */
  writeWithOthers(entry: AuditEntry): Promise<void>;
}

/** Longer ids are cut off: callers choose some of them. */
const maxIdChars = 256;

/**
 * @param sink a path, or `stdout` or `stderr`
 * @param onError called if an entry cannot be written; the action itself is not undone
 * @throws {Error} if the file cannot be opened
 */
export function createAuditLog(service: string, sink: string, onError: (error: Error) => void): AuditLog {
  const dest = sink === 'stdout' ? 1 : sink === 'stderr' ? 2 : sink;
  // Synchronous: an entry must not be lost with the process.
  const destination = pino.destination({ dest, append: true, sync: true, mode: 0o600 });
  destination.on('error', onError);
  return createWriter(service, destination);
}

function createWriter(service: string, destination: DestinationStream): AuditLog {
  let lines = '';
  let written: PromiseWithResolvers<void> | undefined;

  function writeLines(): void {
    const [text, waiting] = [lines, written];
    lines = '';
    written = undefined;
    try {
      if (text !== '') destination.write(text);
      waiting?.resolve();
    } catch (error) {
      waiting?.reject(error);
    }
  }

  return {
    write: (entry) => {
      writeLines();
      destination.write(toLine(service, entry));
    },
    writeWithOthers: (entry) => {
      lines += toLine(service, entry);
      if (written === undefined) {
        written = Promise.withResolvers();
        setImmediate(writeLines);
      }
      return written.promise;
    },
  };
}

/** Written field by field: an object with the fields of an entry and of its kind would take three times as long. */
function toLine(service: string, entry: AuditEntry): string {
  const { action, result, reason, owner, tenant, keyLabel, issuer, address, target, details } = entry;
  const message = JSON.stringify(`${action} ${result}`);
  return (
    `{"log":"audit","severity":"NOTICE","time":"${formatTime(databaseNow())}","service":"${service}","message":${message}` +
    `,"action":${JSON.stringify(action)},"result":"${result}"${toField('reason', reason)}${toField('owner', owner)}` +
    toField('tenant', cut(tenant)) +
    toField('keyLabel', keyLabel) +
    toField('issuer', issuer) +
    toField('address', address) +
    toField('target', target && cutAll(target)) +
    `${toField('details', details)}}\n`
  );
}

function toField(name: string, value: unknown): string {
  return value === undefined ? '' : `,"${name}":${JSON.stringify(value)}`;
}

/** The entries of a millisecond share its text. */
const formatted = { ms: -1, text: '' };

function formatTime(ms: number): string {
  if (formatted.ms !== ms) Object.assign(formatted, { ms, text: new Date(ms).toISOString() });
  return formatted.text;
}

function cutAll(ids: NonNullable<AuditEntry['target']>): Record<string, string | undefined> {
  const short: Record<string, string | undefined> = {};
  for (const name in ids) short[name] = cut(ids[name]);
  return short;
}

function cut(id: string | undefined): string | undefined {
  return id === undefined || id.length <= maxIdChars ? id : `${id.slice(0, maxIdChars)}…`;
}
