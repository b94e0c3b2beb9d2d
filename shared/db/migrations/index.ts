/** Every migration, in order. Append only: what has run somewhere is never edited. */
import type { Migration } from 'kysely/migration';
import * as m0001 from './0001-tasks.ts';

export const migrations: Record<string, Migration> = {
  '0001-tasks': { up: m0001.up },
};
