/**
 * The encryption of contents in tests. `TEST_CONTENT_ENCRYPTION=1` turns it on for all tests, with one master key for this process and
 * the services that it starts.
 */
import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { parseEncryptionKeys } from '#shared/crypto/encryption.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { openContents } from '#shared/db/contents/open.ts';
import type { ContentsConfig } from '#shared/runtime/config/contents.ts';

/** A value of CONTENT_ENCRYPTION_KEYS. */
export function createContentKey(id = 'contents'): string {
  return `${id}:${randomBytes(32).toString('base64')}`;
}

/** @param directory of the key store. Default: the database has the wrapped keys */
export function toContentsConfig(keys: string | undefined, directory?: string): ContentsConfig {
  return {
    keys: keys === undefined ? undefined : parseEncryptionKeys(keys).keys,
    kmsKey: undefined,
    keyStore: directory === undefined ? undefined : { directory },
  };
}

/** Encrypts contents in this process from now on. Keys that it has cached are forgotten. */
export function encryptContents(db: Db, keys: string, directory?: string): void {
  openContents(db, toContentsConfig(keys, directory));
}

const keysOfAllTests = createContentKey();
const isForAllTests = process.env['TEST_CONTENT_ENCRYPTION'] === '1';
let isOn = false;

/** For a test that reads and writes contents itself. The data keys are in the first database of its file. */
export function encryptForAllTests(db: Db): void {
  if (!isForAllTests || isOn) return;
  isOn = true;
  encryptContents(db, keysOfAllTests);
}

/** The environment of services. */
export const contentEnv: Readonly<Record<string, string>> = isForAllTests
  ? { CONTENT_ENCRYPTION_KEYS: keysOfAllTests }
  : {};

/** A reason to skip a test that reads stored contents, or writes what cannot be encrypted. */
export const skipIfEncrypted = isForAllTests && 'reads columns that are encrypted';

/** Returns the tables in which a row contains a text, as such or in binary content. */
export async function searchTables(db: Db, text: string): Promise<string[]> {
  const { rows: tables } = await sql<{ name: string }>`
    select table_name as name from information_schema.tables
    where table_schema = 'public' and table_type = 'BASE TABLE' order by 1`.execute(db);
  const hex = Buffer.from(text).toString('hex');
  const found: string[] = [];
  for (const { name } of tables) {
    const { rows } = await sql<{ found: boolean }>`
      select exists (
        select from ${sql.table(name)} r where position(${text} in r::text) > 0 or position(${hex} in r::text) > 0
      ) as found`.execute(db);
    if (rows[0]?.found === true) found.push(name);
  }
  return found;
}

/**
 * Returns a function that counts how often a text occurs in all that the database server has written since: its write-ahead log
 * has each version of each row. The server keeps it for a while (test-server.ts).
 */
export async function watchWrites(db: Db): Promise<(text: string) => Promise<number>> {
  const { rows } = await sql<{
    start: string;
  }>`select pg_walfile_name(pg_current_wal_lsn()) as start`.execute(db);
  return async (text) => {
    // Writes what is in memory.
    await sql`select pg_switch_wal()`.execute(db);
    const { rows: segments } = await sql<{ content: Buffer }>`
      select pg_read_binary_file('pg_wal/' || name) as content from pg_ls_waldir()
      where name ~ '^[0-9A-F]{24}$' and name >= ${rows[0]?.start} and name <= pg_walfile_name(pg_current_wal_lsn())
      order by name`.execute(db);
    const written = Buffer.concat(segments.map(({ content }) => content));
    let count = 0;
    for (let at = written.indexOf(text); at !== -1; at = written.indexOf(text, at + 1)) count += 1;
    return count;
  };
}
