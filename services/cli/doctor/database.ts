/** Checks the database that the environment names: connection, schema, and clock. */
// cspell:ignore regclass chrony
import { sql } from 'kysely';
import { openDatabase } from '#shared/db/client/pool.ts';
import { migrations } from '#shared/db/schema/migrations/index.ts';
import { ConfigError, type Environment } from '#shared/runtime/config/env-reader.ts';
import { readAdminConfig } from '#shared/runtime/config/operator.ts';
import { failed, maxClockSeconds, ok, skipped, warning, type Finding } from './check.ts';

const part = 'database';
const insufficientPrivilege = '42501';

export async function checkDatabase(env: Environment): Promise<Finding[]> {
  if (!env['DATABASE_URL'] && !env['DATABASE_URL_FILE'] && !env['DATABASE_HOST']) {
    return [skipped(part, 'DATABASE_URL is not set: longhaul dev brings its own')];
  }
  let database;
  try {
    ({ database } = readAdminConfig(env));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [failed(part, error.problems.join('. '), 'correct the variable: docs/operate/configuration.md')];
  }
  const { db } = openDatabase({ database, applicationName: 'longhaul-doctor' });
  try {
    const before = Date.now();
    const { rows } = await sql<{ now: Date; version: string; migrated: boolean }>`
      select clock_timestamp() as now, current_setting('server_version') as version,
        to_regclass('kysely_migration') is not null as migrated`.execute(db);
    const [row] = rows;
    if (row === undefined) return [failed(part, 'it returned no row', 'check DATABASE_URL')];
    const findings = [ok(part, `PostgreSQL ${row.version}`)];
    const missing = row.migrated ? await findMissing() : Object.keys(migrations);
    if (missing === undefined)
      findings.push(skipped('schema', 'this user may not read which migrations ran'));
    else if (missing.length > 0)
      findings.push(failed('schema', `${missing.join(', ')} did not run`, 'longhaul migrate'));
    const behind = Math.abs(row.now.getTime() - (before + Date.now()) / 2) / 1000;
    if (behind > maxClockSeconds) {
      const found = `the clocks of this machine and of the database differ by ${behind.toFixed(0)} s`;
      findings.push(warning('clock', found, 'synchronise them, for example with chrony'));
    }
    return findings;
  } catch (error) {
    return [failed(part, (error as Error).message || 'no answer', 'start it, or correct DATABASE_URL')];
  } finally {
    await db.destroy();
  }

  /** Returns undefined without the right to read them, which services do not have. */
  async function findMissing(): Promise<string[] | undefined> {
    try {
      const { rows } = await sql<{ name: string }>`select name from kysely_migration`.execute(db);
      const ran = new Set(rows.map(({ name }) => name));
      return Object.keys(migrations).filter((name) => !ran.has(name));
    } catch (error) {
      if ((error as { code?: unknown }).code === insufficientPrivilege) return undefined;
      throw error;
    }
  }
}
