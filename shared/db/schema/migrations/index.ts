/** Every migration, in order. Append-only: a migration of a release is never edited. */
import type { Migration } from 'kysely/migration';
import * as m0001 from './0001-initial.ts';

export const migrations: Record<string, Migration> = {
  '0001-initial': { up: m0001.up },
};
